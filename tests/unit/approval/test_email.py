"""Mail to a real SMTP server: what is in it, whom it reaches, how it is kept from others, and that nobody injects into it."""

import asyncio
import ssl
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import msgspec
import pytest

from funcgate.approval.channels.channel import Forged, NotTold
from funcgate.approval.channels.email import MOST_CHARS, EmailChannel
from funcgate.approval.spec import EmailSpec
from funcgate.approval.tickets import BadTicket, Tickets
from funcgate.core.approval import Approval, State
from funcgate.core.entry import Who
from funcgate.core.secret import Secret
from funcgate.stores.memory_approvals import MemoryApprovals
from support.approvals import NOW, answer, approval, asked
from support.mail import MailServer
from support.receivers import certificate

BOB, CAROL = "bob@corp.example", "carol@corp.example"
PAGE = "https://console.example/approvals"
replace = msgspec.structs.replace


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server() -> Iterator[MailServer]:
    running = MailServer().start()
    yield running
    running.stop()


def channel(smtp: str, *to: str, password: str = "", **changes: Any) -> EmailChannel:
    spec = EmailSpec(name="mail", smtp=smtp, sender="funcgate@corp.example", to=list(to or (BOB,)), **changes)
    return EmailChannel(spec, Secret(password) if password else None, tickets=Tickets(MemoryApprovals(), PAGE))


def tell(server: MailServer, told: Approval, reference: str = "", *to: str) -> str:
    return asyncio.run(channel(f"smtp://127.0.0.1:{server.port}", *to).tell(told, reference))


def parts(message: EmailMessage) -> tuple[str, str]:
    plain, markup = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert markup is not None
    return plain.get_content(), markup.get_content()


def test_it_shows_what_will_run_and_a_link_for_each(server: MailServer) -> None:
    told = approval(
        asked=asked(args=msgspec.Raw(b'{"amount":25000,"note":"pay \xe2\x80\xae00052"}'), reason="invoice 7")
    )
    assert tell(server, told, "", BOB, CAROL) == "1"
    assert [recipients for recipients, _ in server.received] == [[BOB], [CAROL]]
    links = []
    for address in (BOB, CAROL):
        (message,) = server.of(address)
        assert message["Subject"] == "[funcgate] agent-7 wants to call payments.createTransfer"
        assert (message["To"], message["From"], message["Auto-Submitted"]) == (
            address,
            "funcgate@corp.example",
            "auto-generated",
        )
        for text in parts(message):
            for expected in ("25000", "⟨U+202E⟩00052", "invoice 7", "1 of group:finance", "waiting", told.asked.digest):
                assert expected in text
        (link,) = [line for line in parts(message)[0].splitlines() if line.startswith("https://")]
        assert link.startswith(f"{PAGE}/{told.id}?ticket=")
        links.append(link)
    assert links[0] != links[1]


def test_later_mails_are_replies_in_the_thread(server: MailServer) -> None:
    first = approval()
    reference = tell(server, first)
    ended = replace(first, state=State.APPROVED, answers=(answer("bob"),), revision=2)
    assert tell(server, ended, reference) == reference
    one, other = server.of(BOB)
    assert other["In-Reply-To"] == other["References"] == one["Message-ID"]
    assert other["Message-ID"] != one["Message-ID"]
    assert other["Subject"] == f"Re: {one['Subject']}"
    text, _ = parts(other)
    assert "approved by bob" in text
    assert "ticket" not in text


def test_a_broken_glass_is_loud(server: MailServer) -> None:
    tell(server, approval(state=State.USED, why="break_glass"))
    ((_, message),) = server.received
    assert message["Subject"].startswith("[funcgate] BREAK-GLASS: agent-7")
    assert "the glass was broken" in parts(message)[0]


def test_headers_and_markup_cannot_be_injected(server: MailServer) -> None:
    # Attack: a caller's name, function or reason that adds a recipient, a header, a body or a button.
    evil = 'x\r\nBcc: eve@evil.example\r\n\r\n<a href="https://evil.example">Approve</a>'
    who = Who("corp", evil, ("agents",))
    told = approval(
        asked=asked(principal=who, function=evil, reason=evil, args=msgspec.Raw(msgspec.json.encode({evil: evil})))
    )
    tell(server, told)
    ((recipients, message),) = server.received
    assert recipients == [BOB]
    assert message["Bcc"] is None
    assert {"\r", "\n"}.isdisjoint(message["Subject"])
    assert len(message["Subject"]) < 150
    text, markup = parts(message)
    assert "⟨U+000D⟩⏎Bcc" in text
    assert '<a href="https://evil.example"' not in markup
    assert not any(line.startswith("Bcc") for line in text.splitlines())


def test_what_is_too_long_is_said_to_be_cut(server: MailServer) -> None:
    tell(
        server,
        approval(asked=asked(args=msgspec.Raw(msgspec.json.encode({"a": "x" * MOST_CHARS, "amount": 1})), masked=True)),
    )
    text, markup = parts(server.received[0][1])
    for shown in (text, markup):
        assert "characters are not shown here" in shown
        assert "Some values are masked" in shown
        assert len(shown) < 2 * MOST_CHARS


@pytest.mark.parametrize("smtps", [False, True])
def test_with_tls_and_a_login(tls: tuple[ssl.SSLContext, Path], smtps: bool) -> None:
    context, ca = tls
    server = MailServer(context, smtps=smtps, login=True).start()
    try:
        url = f"{'smtps' if smtps else 'smtp'}://localhost:{server.port}"
        told = approval()
        asyncio.run(channel(url, ca=str(ca), user="funcgate", password="s3cret").tell(told, ""))
        assert len(server.of(BOB)) == 1
        assert set(server.logins) == {("funcgate", "s3cret")}
        for changes in ({"ca": ""} if smtps else {"ca": str(ca), "password": "wrong"},):
            with pytest.raises(NotTold) as failed:
                asyncio.run(channel(url, **{"user": "funcgate", "password": "s3cret", **changes}).tell(told, ""))
            assert "s3cret" not in str(failed.value)
        assert len(server.of(BOB)) == 1
    finally:
        server.stop()


def test_where_starttls_is_a_must_nothing_is_sent_without(server: MailServer, tls: tuple[ssl.SSLContext, Path]) -> None:
    # Attack: strip STARTTLS from the server's answer, and read the link and the password.
    careful = channel(f"smtp://127.0.0.1:{server.port}", ca=str(tls[1]), user="funcgate", password="s3cret")
    with pytest.raises(NotTold):
        asyncio.run(careful.tell(approval(), ""))
    assert server.received == []
    assert server.logins == []
    assert channel("smtp://mail.example")._starttls  # every other machine, whatever is configured
    assert not channel("smtp://127.0.0.1")._starttls


def test_a_mailbox_that_is_not_there_keeps_no_mail_from_others(server: MailServer) -> None:
    server.refuses[BOB] = "550 no such mailbox"
    told, mail = approval(), channel(f"smtp://127.0.0.1:{server.port}", BOB, CAROL)
    for _ in range(2):
        with pytest.raises(NotTold) as failed:
            asyncio.run(mail.tell(told, ""))
        assert failed.value.alone
        assert BOB in str(failed.value)
    assert len(server.of(CAROL)) == 1  # and not once more with each try
    server.refuses.clear()
    asyncio.run(mail.tell(told, ""))
    assert (len(server.of(BOB)), len(server.of(CAROL))) == (1, 1)


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(NotTold) as failed:
        asyncio.run(channel("smtp://127.0.0.1:1").tell(approval(), ""))
    assert not failed.value.alone


def test_a_mail_answers_nothing() -> None:
    with pytest.raises(Forged):
        asyncio.run(channel("smtp://127.0.0.1").hear({"from": BOB}, b"approve", NOW))


VERIFIED = {"email": "Bob@Corp.example", "email_verified": True}


@pytest.mark.parametrize(
    ("claims", "change", "late_s", "why"),
    [
        (VERIFIED, "", 0, ""),
        ({"email": CAROL, "email_verified": True}, "", 0, "another mail address"),
        ({"email": BOB}, "", 0, "another mail address"),
        ({"email": BOB, "email_verified": "true"}, "", 0, "another mail address"),
        ({}, "", 0, "another mail address"),
        (VERIFIED, "secret", 0, "not known"),
        (VERIFIED, "approval", 0, "another approval"),
        (VERIFIED, "", 900, "its time is over"),
    ],
)
def test_a_ticket_opens_for_its_recipient_alone(claims: dict[str, Any], change: str, late_s: float, why: str) -> None:
    async def whole() -> None:
        told = approval()
        tickets = Tickets(MemoryApprovals(), PAGE)
        secret = (await tickets.link(told, BOB, NOW)).rpartition("=")[2]
        used = secret[::-1] if change == "secret" else secret
        name = "another" if change == "approval" else told.id
        if not why:
            await tickets.take(used, name, claims, NOW)
            with pytest.raises(BadTicket, match="used already"):
                await tickets.take(used, name, claims, NOW)
            return
        with pytest.raises(BadTicket, match=why):
            await tickets.take(used, name, claims, NOW + late_s)
        await tickets.take(secret, told.id, VERIFIED, NOW)  # whoever tried has not used it up

    asyncio.run(whole())
