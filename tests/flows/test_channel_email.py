"""Approvers told by mail: a call waits, a mail comes, its link opens the page once, and the answer is given there, signed in."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from typing import Any

import httpx
import pytest

from support.browser import Browser
from support.gate import Gate, free_port, until
from support.mail import MailServer
from support.provider import Provider
from support.target import Target

POLICY = {
    "name": "orders", "effect": "require_approval", "functions": ["shop.order"], "principals": ["group:agents"],
    "approval": {"approvers": ["group:finance"], "expires": "10m"},
}  # fmt: skip
BOB = "bob@corp.example"


class Post:
    """A gateway that sends mail, the mail server, and the provider that people sign in at."""

    def __init__(self, gate: Gate, server: MailServer, provider: Provider) -> None:
        self.gate, self.server, self.provider = gate, server, provider
        self.url = f"http://127.0.0.1:{gate.console}"

    def order(self, wait: int = 0) -> httpx.Response:
        form = {"grant_type": "client_credentials", "client_id": "agent-7", "client_secret": "demo"}
        token = httpx.post(f"{self.provider.url}/token", data=form, trust_env=False).json()["access_token"]
        headers = {"authorization": f"Bearer {token}", "prefer": f"wait={wait}"}
        return httpx.post(
            f"{self.gate.url}/shop/orders", json={"amount": 5}, headers=headers, timeout=30, trust_env=False
        )

    def mail(self, number: int = 1) -> EmailMessage:
        return until(lambda: self.server.of(BOB)[number - 1 : number])[0]

    def link(self) -> str:
        body = self.mail().get_body(("plain",))
        assert body is not None
        (link,) = re.findall(r"http\S+\?ticket=\S+", body.get_content())
        return str(link)

    def refused(self) -> list[dict[str, Any]]:
        return [entry for entry in self.gate.entries() if entry["kind"] == "answered" and entry["outcome"] == "refused"]


@pytest.fixture
def post(make_gate: Callable[..., Gate]) -> Iterator[Post]:
    server, provider, port = MailServer().start(), Provider().start(), free_port()
    channel = {
        "name": "mail",
        "type": "email",
        "smtp": f"smtp://127.0.0.1:{server.port}",
        "sender": "funcgate@corp.example",
    }
    sign_in = {"issuer": "corp", "client_id": "console", "public_url": f"http://127.0.0.1:{port}"}
    gate = make_gate(
        listen={"calls": "127.0.0.1:0", "console": f"127.0.0.1:{port}"}, policies=[POLICY], console={"sign_in": sign_in},
        issuers=[{"name": "corp", "issuer": provider.url, "audience": "funcgate"}],
        channels=[{**channel, "to": [BOB]}], target={"limits": {"max_wait": "20s"}},
    ).start()  # fmt: skip
    yield Post(gate, server, provider)
    gate.kill()
    provider.stop()
    server.stop()


@pytest.fixture
def browser() -> Iterator[Browser]:
    made = Browser()
    yield made
    made.close()


def test_from_the_mail_to_the_answer(post: Post, browser: Browser, target: Target) -> None:
    with ThreadPoolExecutor(1) as callers:
        waiting = callers.submit(post.order, 20)
        link = post.link()
        # Attack: a scanner, or whoever finds the mail, follows the link: nothing is shown, used up, or answered.
        for method in ("GET", "HEAD", "POST"):
            met = httpx.request(method, link, trust_env=False)
            assert met.status_code in (303, 403, 404, 405)
            assert "amount" not in met.text
        page = browser.sign_in(link, "bob")
        assert page.url == link.partition("?")[0]  # the ticket is gone from the address
        assert target.ledger == []
        browser.press(page, "approve")
        assert waiting.result().status_code == 200
    assert len(target.ledger) == 1
    told = post.mail(2)
    assert told["In-Reply-To"] == post.mail()["Message-ID"]
    assert post.refused() == []
    # Attack: the link again, out of a forwarded mail or a browser's history.
    again = browser.get(link)
    assert (again.status, "used already" in again.text) == (403, True)
    (entry,) = post.refused()
    assert (entry["principal"]["subject"], entry["change"]["channel"]) == ("bob", "console")
    assert link.rpartition("=")[2] not in post.gate.log.read_text() + str(post.gate.entries())
    assert link.rpartition("=")[2].encode() not in (post.gate.data / "state.db").read_bytes()


def test_somebody_elses_mail(post: Post, browser: Browser) -> None:
    post.order()
    link = post.link()
    # Attack: a mail that was forwarded: whoever signs in with it is not the one it was sent to.
    eve = browser.sign_in(link, "eve")
    assert (eve.status, "another mail address" in eve.text) == (403, True)
    assert post.refused()[-1]["principal"]["subject"] == "eve"
    other = Browser()
    assert other.sign_in(link, "bob").status == 200  # and eve has not used it up
    other.close()


def test_mail_that_cannot_be_sent_is_sent_later(post: Post) -> None:
    post.server.stop()
    post.order()
    until(lambda: post.gate.logged("approvers cannot be told"))
    post.server.start()
    assert post.mail()["To"] == BOB
    until(lambda: post.gate.logged("approvers are told again"))
