"""A mail server that takes what it is sent, in clear, with STARTTLS or over TLS, and refuses what a test says."""

import email
import email.policy
import ssl
from email.message import EmailMessage
from functools import partial
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from support.gate import free_port


class MailServer:
    """Serves until `stop`. `refuses` maps a recipient to the answer it gets; `logins` are the users and passwords that came."""

    def __init__(self, tls: ssl.SSLContext | None = None, *, smtps: bool = False, login: bool = False) -> None:
        self.received: list[tuple[list[str], EmailMessage]] = []
        self.refuses: dict[str, str] = {}
        self.logins: list[tuple[str, str]] = []
        more: dict[str, Any] = (
            {"ssl_context": tls} if smtps else {"tls_context": tls, "require_starttls": tls is not None}
        )
        if login:
            more |= {"authenticator": self._login, "auth_required": True, "auth_require_tls": False}
        self.port = free_port()
        self._make = partial(Controller, self, hostname="127.0.0.1", port=self.port, **more)

    def start(self) -> "MailServer":
        self._controller = self._make()
        self._controller.start()
        return self

    def stop(self) -> None:
        self._controller.stop()

    def of(self, recipient: str) -> list[EmailMessage]:
        return [message for recipients, message in self.received if recipient in recipients]

    async def handle_RCPT(  # noqa: N802  # the library's name
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.received.append((list(envelope.rcpt_tos), message))
        return "250 OK"

    def _login(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=data.password == b"s3cret", handled=False)
