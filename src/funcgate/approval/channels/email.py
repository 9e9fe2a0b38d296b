"""Mail: the call as it will run, and a link for each recipient alone. A mail answers nothing: neither by a link in it, which
mail scanners follow, nor by a reply, whose sender nobody verifies. The answer is given at the console, signed in.
"""

import hashlib
import ssl
import time
from collections.abc import Mapping
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from html import escape
from urllib.parse import urlsplit

import aiosmtplib

from funcgate.approval.show import Card, card
from funcgate.approval.spec import EmailSpec
from funcgate.approval.tickets import Tickets
from funcgate.core.approval import Approval, State
from funcgate.core.secret import Secret

from .channel import Forged, Heard, NotTold, Said

TIMEOUT_S = 10.0
MOST_CHARS = 20_000  # of facts and arguments
MOST_SUBJECT = 120
MOST_REMEMBERED = 1000
_PORTS = {"smtp": 587, "smtps": 465}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class EmailChannel:
    """`channel.Channel` over SMTP. Each recipient gets a message, and each later one as a reply to the first."""

    def __init__(self, spec: EmailSpec, password: Secret | None = None, *, tickets: Tickets) -> None:
        """Raises `OSError` for a `ca` that cannot be read."""
        parts = urlsplit(spec.smtp)
        self.name = spec.name
        self._spec = spec
        self._password = password
        self._tickets = tickets
        self._host = parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme]
        self._smtps = parts.scheme == "smtps"
        # Attack: somebody on the way answers that there is no STARTTLS, and reads links and password in clear.
        self._starttls = not self._smtps and (self._host not in _LOOPBACK or bool(spec.ca))
        self._trust = ssl.create_default_context(cafile=spec.ca or None)
        self._done: dict[str, None] = {}  # messages of revisions that not every recipient's server has taken yet

    async def tell(self, approval: Approval, reference: str) -> str:
        """See `channel.Channel`. The reference is the revision of the first message, which the later ones answer."""
        first = int(reference) if reference.isdigit() else approval.revision
        troubles: list[NotTold] = []
        for recipient in self._spec.to:
            name = self._message_id(approval, recipient, approval.revision)
            if name in self._done:
                continue
            try:
                await self._send(await self._message(approval, recipient, first), recipient)
            except NotTold as trouble:
                if not trouble.alone:
                    raise
                troubles.append(trouble)
            else:
                self._remember(name)
        if troubles:
            raise troubles[0]
        return str(first)

    async def hear(self, headers: Mapping[str, str], body: bytes, now: float) -> Heard | Said:
        """See `channel.Channel`. There is nothing to hear."""
        # Attack: a sender's address in a mail, or a link that was followed, taken for somebody's answer.
        raise Forged("a mail channel takes no answers")

    async def reply(self, heard: Heard, approval: Approval | None, refusal: str) -> Said:
        """See `channel.Channel`. Never asked for: nothing is heard."""
        return Said(status=404)

    async def close(self) -> None:
        """Each message has a connection of its own."""

    async def _message(self, approval: Approval, recipient: str, first: int) -> EmailMessage:
        shown = card(approval, MOST_CHARS)
        pending = approval.state is State.PENDING
        link = await self._tickets.link(approval, recipient, time.time()) if pending else self._tickets.page(approval)
        message = EmailMessage(policy=SMTP)
        # Attack: a line feed in a name adds a header (Bcc), or a body. The card's texts hold none; the library refuses any.
        loud = "BREAK-GLASS: " if approval.why == "break_glass" else ""
        message["Subject"] = f"{'' if approval.revision == first else 'Re: '}[funcgate] {loud}{_short(shown.title)}"
        message["From"] = Address(addr_spec=self._spec.sender)
        message["To"] = Address(addr_spec=recipient)
        message["Date"] = formatdate()
        message["Message-ID"] = self._message_id(approval, recipient, approval.revision)
        if approval.revision != first:
            message["In-Reply-To"] = message["References"] = self._message_id(approval, recipient, first)
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no absence note in return
        message.set_content(_text(shown, link, pending), cte="quoted-printable")
        message.add_alternative(_html(shown, link, pending), subtype="html", cte="quoted-printable")
        return message

    async def _send(self, message: EmailMessage, recipient: str) -> None:
        spec, client = self._spec, self._client()
        try:
            async with client:
                if self._password is not None and spec.user:
                    await client.login(spec.user, self._password.reveal())
                await client.send_message(message, sender=spec.sender, recipients=[recipient])
        except aiosmtplib.SMTPRecipientsRefused as refused:
            # A mailbox that is not there must not keep the other approvals from being told.
            codes = ", ".join(str(each.code) for each in refused.recipients)
            raise NotTold(f"{self._host} does not take mail for {recipient} ({codes})", alone=True) from None
        except aiosmtplib.SMTPResponseException as refused:
            alone = isinstance(refused, aiosmtplib.SMTPDataError)
            raise NotTold(f"{self._host} refuses the mail ({refused.code})", alone=alone) from None
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise NotTold(f"{self._host} cannot be reached or trusted ({type(error).__name__})") from None

    def _client(self) -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(
            hostname=self._host, port=self._port, timeout=TIMEOUT_S, use_tls=self._smtps, start_tls=self._starttls,
            tls_context=self._trust,
        )  # fmt: skip

    def _message_id(self, approval: Approval, recipient: str, revision: int) -> str:
        """The same for the same message: one that is sent again is recognised."""
        whom = hashlib.sha256(recipient.encode()).hexdigest()[:8]
        return f"<{approval.id}.{revision}.{whom}@{self._spec.sender.rpartition('@')[2]}>"

    def _remember(self, name: str) -> None:
        self._done[name] = None
        if len(self._done) > MOST_REMEMBERED:
            del self._done[next(iter(self._done))]


def _text(shown: Card, link: str, pending: bool) -> str:
    lines = [shown.title, "", f"State: {shown.outcome}", ""]
    lines += [f"{label}: {text}" for label, text in shown.facts]
    lines += ["", "Arguments:", *(f"  {name} = {text}" for name, text in shown.args or [("", "none")]), ""]
    return "\n".join([*lines, *_notes(shown), _invitation(pending), link, ""])


def _html(shown: Card, link: str, pending: bool) -> str:
    """The same in a table; everything that came from outside is escaped, and nothing is loaded from anywhere."""
    rows = [*shown.facts, *((f"Argument {name}", text) for name, text in shown.args)]
    cells = "".join(f"<tr><th align=left>{escape(label)}</th><td>{escape(text)}</td></tr>" for label, text in rows)
    notes = "".join(f"<p><strong>{escape(text)}</strong></p>" for text in _notes(shown))
    return (
        f"<!DOCTYPE html><html><body><h1>{escape(shown.title)}</h1><p>{escape(shown.outcome)}</p><table>{cells}</table>{notes}"
        f'<p>{_invitation(pending)}<br><a href="{escape(link)}">{escape(link)}</a></p></body></html>'
    )


def _notes(shown: Card) -> list[str]:
    notes = ["Some values are masked: what runs holds more than is shown here."] if shown.masked else []
    if shown.cut:
        notes.append(f"{shown.cut} characters are not shown here; the page shows all of it.")
    return notes


def _invitation(pending: bool) -> str:
    if pending:
        return "To answer, open this link (it is for you alone, and works once) and sign in. Nobody reads replies to this mail."
    return "It can be seen here, signed in:"


def _short(text: str) -> str:
    return text if len(text) <= MOST_SUBJECT else f"{text[: MOST_SUBJECT - 1]}…"
