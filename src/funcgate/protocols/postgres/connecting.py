"""The call that begins a session: who is it, may it connect, and then the login at the database. `TARGET.connect`."""

from collections.abc import Mapping
from typing import Any

import msgspec

from funcgate.core.call import Call, Permit, Shared
from funcgate.core.lease import Lease
from funcgate.core.principal import Principal
from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Reply
from funcgate.masking.columns import ColumnRules
from funcgate.wire.postgres import backend
from funcgate.wire.postgres.frames import Malformed

from .answer import LEXICAL, MEDIA, Answer
from .exchange import PostgresExchange, Speaker
from .labels import label
from .shape import Hiding
from .upstream import connect

# Parameters that a caller may set at the start. Attack: "options" or "role" would set anything, unseen by any policy.
_ALLOWED = frozenset({
    "application_name", "client_encoding", "datestyle", "timezone", "intervalstyle", "extra_float_digits", "bytea_output",
    "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "default_transaction_read_only", "geqo",
    "default_transaction_isolation", "jit",
})  # fmt: skip
_KNOWN = frozenset({"user", "database", "replication"})
_ENCODINGS = frozenset({"utf8", "utf-8", "unicode", "auto", "sql_ascii"})


class Connect(PostgresExchange):
    """`key` is what the caller gets to cancel its statements with."""

    def __init__(self, session: Speaker, parameters: Mapping[str, str], key: tuple[int, bytes], ahead: bytes) -> None:
        super().__init__(session, "connect")
        self._given = parameters
        self._key = key
        self._ahead = ahead
        self._parameters: dict[str, str] = {}
        self._answer = Answer((), Hiding(ColumnRules(), lambda _: []), strict=False)

    async def resolve(self, principal: Principal) -> Call:
        """See `core.ports.Exchange`. The name of who calls goes to the database as `application_name`."""
        call = await super().resolve(principal)
        self.session.subject = principal.subject
        self._parameters["application_name"] = label(principal.subject, self._given.get("application_name", ""))
        roles = self.session.target.roles
        self.session.role = role = roles.of(principal) if roles is not None else ""
        if role:
            call.args["role"] = role
        return call

    def arguments(self) -> tuple[dict[str, Any], Shared | None]:
        """Raises `Refused(request.invalid)` for a parameter that may not be set."""
        if self._given.get("replication", "false").lower() not in ("false", "off", "no", "0"):
            raise Refused(Code.REQUEST_INVALID, "Replication is not carried.")
        args: dict[str, Any] = {}
        for name, value in self._given.items():
            lower = name.lower()
            if lower.startswith("_pq_.") or lower in _KNOWN:
                continue
            if lower not in _ALLOWED:
                raise Refused(Code.REQUEST_INVALID, "A parameter of the connection may not be set here; use SET.")
            if lower == "client_encoding" and value.strip("'\" ").lower() not in _ENCODINGS:
                raise Refused(Code.REQUEST_INVALID, "client_encoding must be UTF8.")
            args[lower] = value
            if lower not in ("application_name", "client_encoding"):
                self._parameters[name] = value
        return args, None

    def content(self) -> bytes:
        return msgspec.json.encode(dict(self._given))

    async def send(self, permit: Permit, lease: Lease) -> Reply:
        """See `core.ports.Exchange`."""
        call = self.call
        if call is None:
            raise TypeError("a session that was never resolved")
        permit.spend(call.digest)
        target = self.session.target
        fixed = {name: value for name, value in LEXICAL.items() if name != "client_encoding"}
        upstream = await connect(target.place, self._parameters | fixed, lease, target.limits, self.session.role)
        self.session.upstream = upstream
        try:
            body = b"".join([self._answer.take(found) for found in upstream.greeting])
        except Malformed as malformed:
            raise Refused(Code.TARGET_UNREACHABLE, private_detail=str(malformed)) from None
        return Reply(status=200, headers=[], media=MEDIA, body=body)

    async def deliver(self, reply: Reply) -> None:
        """See `core.ports.Exchange`."""
        lines = (reply.body or b"").split(b"\n")[:-1]
        parts = [backend.AUTH_OK, *map(self._answer.messages, lines), backend.key_data(*self._key), backend.ready(b"I")]
        await self.pass_on(b"".join(parts))

    async def refuse(self, refused: Refused) -> None:
        """See `core.ports.Exchange`."""
        self.keep(refused)
        await self.say(backend.refusal(refused, self.call_id, fatal=True))
