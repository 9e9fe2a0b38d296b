"""One call of a session on its way through: the PostgreSQL side of `core.ports.Exchange`, as far as all calls share it.

What was judged and what is sent are the same text and the same bound values (P9).
"""

from collections.abc import Mapping
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Protocol

from funcgate.core.budget import Spending
from funcgate.core.call import Call, Permit, Shared
from funcgate.core.digest import digest_of
from funcgate.core.ids import new_id
from funcgate.core.lease import Lease
from funcgate.core.native import half
from funcgate.core.ports import CallerGone, Patience
from funcgate.core.principal import Principal, RawToken
from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Reply
from funcgate.wire.postgres import backend

from .channel import Channel, Ended
from .origins import Origins
from .stream import Alarm
from .target import PostgresSite, PostgresTarget, SessionLimits
from .upstream import Upstream

_drive = half("funcgate.protocols.postgres._drive")
_MOST_SPARE_S = 5.0  # before the database ends an idle session; a quarter of its limit, if that is less
_OF_THE_SESSION = frozenset({"connect", "describe", "notification"})  # see catalog/sql/session.py


class Sites:
    """What sessions ask of the listener."""

    site: PostgresSite
    limits: SessionLimits
    draining: bool
    accounts: Spending

    def detach(self, work: object) -> None:
        """Let something that must not be cut off run on."""
        raise NotImplementedError


if not TYPE_CHECKING and _drive is not None:
    Sites = _drive.Sites


class Speaker(Protocol):
    """What an exchange asks of the caller's session."""

    sites: Sites

    name: str
    client: str
    caller: Channel
    upstream: Upstream | None
    limits: SessionLimits
    token: RawToken | None
    target: PostgresTarget
    settings: str
    awaiting_ready: bool
    unsynced: bool
    dirty: bool
    origins: Origins
    alarm: Alarm
    subject: str
    role: str

    @property
    def site(self) -> PostgresSite: ...

    held: list[bytes]
    accounts: Spending

    def session_of(self, principal: Principal) -> str: ...

    def hold(self, data: bytes) -> None: ...

    def send(self, data: bytes) -> None: ...

    async def flush(self) -> None: ...

    async def tell(self, data: bytes) -> None: ...


class PostgresExchange:
    """`call` is None until it was resolved, `refused` says why it ended."""

    call: Call | None = None
    refused: Refused | None = None

    def __init__(self, session: Speaker, function: str) -> None:
        self.session = session
        self.call_id = new_id()
        self.client = session.client
        self.target = session.target.name
        self._function = function
        self._site = session.site

    @property
    def token(self) -> RawToken | None:
        """See `core.ports.Exchange`: what the caller sent as its password."""
        return self.session.token

    @property
    def patience(self) -> Patience:
        """See `core.ports.Exchange`. A statement is held as long as the target's `max_wait`, and no longer than the database lets
        a session be idle: it would end this one, and its transaction, before anybody answers."""
        session = self.session
        wait_s, upstream = session.target.limits.max_wait_s, session.upstream
        if upstream is not None and (idle_s := session.origins.idle_s(within=upstream.state != b"I")):
            left_s = idle_s - min(_MOST_SPARE_S, idle_s / 4) - (monotonic() - session.alarm.since)
            wait_s = max(0.0, min(wait_s, left_s))
        # Attack: get a statement approved, and send it again where its names mean something else (SET search_path).
        return Patience(wait_s, also=session.settings)

    def renew(self) -> bool:
        """See `core.ports.Exchange`. The connection is what it was; the place must be, too."""
        self._site = self.session.site
        now = self._site.targets.get(self.target)
        if now is None or now.url != self.session.target.url:
            return False
        # Attack: prepare a statement, and go on with it for ever under the columns, limits and budgets of that time.
        self.session.target = now
        return True

    async def resolve(self, principal: Principal) -> Call:
        """See `core.ports.Exchange`."""
        if self._site.targets.get(self.target) is None or not self.renew():
            raise Refused(Code.FUNCTION_UNKNOWN, private_detail="the target is not there any more, or at another place")
        own, shared = self.arguments()
        self.call = call = Call(
            id=self.call_id, target=self.target, function=self._full_name(), args={**shared.args, **own} if shared else own,
            principal=principal, session=self.session.session_of(principal), digest=self._digest(self.content()),
            received_at=time(), shared=shared, own=own, client=self.client,
        )  # fmt: skip
        return call

    def _full_name(self) -> str:
        return f"{self.target}{':' if self._function in _OF_THE_SESSION else '.'}{self._function}"

    def arguments(self) -> tuple[dict[str, Any], Shared | None]:
        """The call's own arguments, and those that it shares with others. Raises `Refused`."""
        raise NotImplementedError

    def content(self) -> bytes:
        """What the digest is over, beside the place and the function."""
        raise NotImplementedError

    async def send(self, permit: Permit, lease: Lease) -> Reply:
        raise NotImplementedError

    async def deliver(self, reply: Reply) -> None:
        raise NotImplementedError

    async def refuse(self, refused: Refused) -> None:
        """See `core.ports.Exchange`."""
        self.keep(refused)
        await self.say(backend.refusal(refused, self.call_id))

    def keep(self, refused: Refused) -> None:
        """Why it was refused, for the session, without where.

        Attack: large statements that are refused: each would be held by the frames that it was refused in, and these by it,
        until a collection that is rare.
        """
        refused.__traceback__ = refused.__context__ = None
        self.refused = refused

    async def say(self, data: bytes) -> None:
        try:
            await self.session.tell(data)
        except Ended:
            return

    async def pass_on(self, data: bytes) -> None:
        """Raises `CallerGone`."""
        try:
            await self.session.tell(data)
        except Ended:
            raise CallerGone from None

    def _digest(self, content: bytes) -> str:
        head = f"{self.session.target.url}\n{self._function}\n".encode()
        return digest_of(head + content)


class Refusal(PostgresExchange):
    """A message that is refused before it means anything; it is recorded like any other refusal."""

    def __init__(self, session: Speaker, why: Refused, said: Mapping[str, str] | None = None) -> None:
        super().__init__(session, "")
        self._why = why

    def arguments(self) -> tuple[dict[str, Any], Shared | None]:
        raise self._why
