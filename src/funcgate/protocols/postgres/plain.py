"""Plain statements, which most are: rows read or written, nothing that the session would have to follow, a small answer.

What depends on the statement alone is worked out once (`Plan`) and held as long as it holds. Whatever is not plain goes on the
way of statement.py from the step where that was seen; nothing is refused here that is not refused there.
"""

from collections.abc import Mapping, Sequence
from sys import intern
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from funcgate.catalog.sql import Statement, own_text
from funcgate.core.call import Call, Permit, Shared
from funcgate.core.digest import digest_of
from funcgate.core.ids import new_id
from funcgate.core.lease import Lease
from funcgate.core.native import half
from funcgate.core.ports import CallerGone
from funcgate.core.principal import Principal
from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Reply

from .answer import MEDIA, TAGS, Answer, encode_value
from .channel import Ended
from .exchange import Speaker
from .shape import EMPTY, Hiding, Shape
from .statement import WHOLE, Portal, Prepared, Sending, StatementExchange, lost
from .target import PostgresSite, PostgresTarget

_ORDINARY = frozenset({"select", "insert", "update", "upsert", "delete", "merge"})
_native = half("funcgate.wire.postgres._native")
_drive = half("funcgate.protocols.postgres._drive")
# What comes before the rows, as the compiled half has it and as `Answer` has it.
_EXPECTED: Mapping[str, Sequence[str]] = {"": (), "2": ("2",), "2T": ("2", "T"), "2-": ("2", "-T")}


class Plan(Struct):
    """What is the same each time that a statement comes on a session. `head` is what its digest begins with, `version` that of
    what is known of tables and views."""

    statement: Statement
    shared: Shared
    site: PostgresSite
    target: PostgresTarget
    function: str
    head: str
    hiding: Hiding
    types: tuple[int, ...]
    strict: bool
    version: int

    def holds(self, session: Speaker) -> bool:
        """Whether all that it was made of is still the same."""
        origins = session.origins
        return self.site is session.sites.site and self.version == origins.version and monotonic() < origins.until


if not TYPE_CHECKING and _drive is not None:
    PurePlan, Plan = Plan, _drive.Plan


def plan_of(session: Speaker, target: PostgresTarget, sql: str, prepared: Prepared) -> Plan | None:
    """The plan of a statement; None for one that is not plain, or of which too little is known yet. `sql` is "" for the text of
    a simple query, which is another one each time."""
    statement, origins, site = prepared.statement, session.origins, session.site
    if _native is None or statement is None or statement.shared is None or statement.function not in _ORDINARY:
        return None
    if (
        (statement.parameters and not sql)
        or statement.handle is not None
        or statement.copy
        or statement.control
        or statement.relations_change
    ):
        return None
    if target is not site.targets.get(target.name) or target.url != session.target.url:
        return None
    if not origins.fresh() or origins.hidden_calls(statement) or origins.runs(statement, prepared.types):
        return None
    try:
        shared = origins.placed(statement, statement.shared, certain=True)
    except Refused:
        return None
    function = intern(
        f"{target.name}.{statement.function}"
    )  # one object for all sessions: what is kept by it is kept once
    head = f"{target.url}\n{statement.function}\n("
    if sql:
        head += f"{sql!r}, {prepared.types!r}, "
    return Plan(
        statement, shared, site, target, function, head, origins.hiding(statement, target.columns(function)),
        prepared.types, site.snapshot.maskers(function).collects, origins.version,
    )  # fmt: skip


class Plain(StatementExchange):
    """A statement with a plan. `passed`: the answer went to the caller as it came, the ReadyForQuery behind it.

    `data` goes to the database, `asked` is what comes before the rows (see `_native.answer`), `sql` the text as it was sent.
    """

    def __init__(
        self, session: Speaker, plan: Plan, sql: str, data: bytes, asked: str = "", portal: Portal | None = None
    ) -> None:
        self.session = session
        self.call_id = new_id()
        self.client = session.client
        self.target = plan.target.name
        self.portal = portal
        self.shape: Shape = EMPTY
        self._function = plan.statement.function
        self._site = plan.site
        if portal is not None:
            self.prepared = portal.prepared
        self._plan = plan
        self._sql = sql
        self._data = data
        self._asked = asked
        self._came = b""
        self._lines: bytes | None = None
        self._hidden = 0

    def _unplain(self) -> None:
        """From here on this is any statement."""
        if self.portal is None:
            self.prepared = Prepared(self._sql, self._plan.statement, ())
        self.sending = Sending(self._data, _EXPECTED[self._asked])

    @property
    def asks(self) -> bool:
        """Whether the columns are described with the answer."""
        return self._asked != "2"

    @property
    def failed(self) -> bool:
        return not self.passed and super().failed

    async def resolve(self, principal: Principal) -> Call:
        """See `core.ports.Exchange`."""
        session, plan, portal = self.session, self._plan, self.portal
        statement, shared = plan.statement, plan.shared
        if not plan.holds(session) or (portal and len(portal.bind.values) < statement.parameters):
            self._unplain()
            return await super().resolve(principal)
        self.check_role(plan.target, principal, statement)
        if portal is None:
            values: Sequence[object] = []
            content = f"{plan.head}{self._sql!r}, (), ())"
        else:
            bind = portal.bind
            values = self.values()
            content = f"{plan.head}{(bind.formats, bind.values, bind.results)!r})"
        own: dict[str, Any] = {"sql": own_text(self._sql)} if statement.template else {}
        own["parameters"] = values
        self.call = call = Call(
            id=self.call_id, target=self.target, function=plan.function, args={**shared.args, **own}, principal=principal,
            session=session.session_of(principal), digest=digest_of(content.encode()), received_at=time(), shared=shared, own=own,
            client=self.client,
        )  # fmt: skip
        return call

    async def send(self, permit: Permit, lease: Lease) -> Reply:
        """See `core.ports.Exchange`."""
        session, plan, call, upstream = self.session, self._plan, self.call, self.session.upstream
        if call is None or upstream is None or not plan.holds(session) or plan.target.budgets:
            self._unplain()
            return await super().send(permit, lease)
        permit.spend(call.digest)
        limits, channel = plan.target.limits, upstream.channel
        self._until = monotonic() + limits.timeout_s
        session.dirty = session.awaiting_ready = True
        session.unsynced = False
        try:
            channel.write(self._data)
        except Ended:
            raise lost() from None
        if channel.empty:
            await self.wait(channel.arrival)
        data = channel.whole(WHOLE)
        shape = self._shape() if self._asked == "2" else EMPTY
        try:
            found = _native.answer(data, self._asked, shape, plan.hiding.known, TAGS, encode_value) if data else None
        except ValueError:  # a text that is none: taken message by message it says what is wrong with it
            found = None
        if found is None:
            self._unplain()
            return await self._read(plan.hiding, strict=plan.strict)
        channel.took(len(data))
        upstream.state = data[-1:]
        session.awaiting_ready = session.dirty = False
        self._lines, rows, self.shape, self._hidden = found
        self._came = data
        if len(found[0]) > limits.max_response or rows > limits.max_rows:
            self._spend(rows, len(found[0]))
        return Reply(status=200, headers=[], media=MEDIA, body=self._lines)

    def _shape(self) -> Shape:
        """Of rows that the answer does not describe."""
        portal = self.portal
        return self._plan.hiding.of(portal.columns or ()) if portal is not None else EMPTY

    async def deliver(self, reply: Reply) -> None:
        """See `core.ports.Exchange`."""
        data, session = self._came, self.session
        if not data:
            await super().deliver(reply)
        elif reply.body is self._lines and self._lines is not None:
            if session.caller.ended:
                raise CallerGone
            hidden = self._hidden
            try:
                session.send(data[:5] + data[hidden:] if hidden else data)
            except Ended:
                raise CallerGone from None
            self.passed = True
        else:  # something in it was masked: message by message
            self._unplain()
            self.answer = answer = Answer(
                self.sending.expected, self._plan.hiding, strict=self._plan.strict,
                columns=(self.portal.columns if self.portal is not None else None) or (),
            )  # fmt: skip
            if answer.whole(data) != self._lines:
                raise Refused(Code.MASKING_REFUSED, private_detail="an answer that is read in two ways")
            await super().deliver(reply)


if not TYPE_CHECKING and _drive is not None:
    _slow = Plain

    class Plain(_drive.Way, _slow):
        """The compiled half in front."""

        __slots__ = ()

    _drive.plain_is(_slow, Plain, EMPTY, MEDIA, TAGS, encode_value, WHOLE, lost)
