"""A caller's side of a lying database, without sockets: mutated answers in, whatever would be handed to the caller out.

Everything between the two connections is the gateway's own: frames, statement, origins, lines, masking, messages.
"""

import asyncio
import random
import struct
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from funcgate.catalog.sql import SqlCatalog
from funcgate.core.call import Call, Permit
from funcgate.core.function import Limits
from funcgate.core.lease import NO_LEASE
from funcgate.core.principal import Principal
from funcgate.core.refusal import Refused
from funcgate.masking.plan import MaskingPlan, RuleSpec, compile_rules
from funcgate.protocols.postgres.channel import Channel
from funcgate.protocols.postgres.exchange import Speaker
from funcgate.protocols.postgres.origins import Origins
from funcgate.protocols.postgres.statement import Prepared, Sending, StatementExchange
from funcgate.protocols.postgres.target import Place, PostgresTarget
from funcgate.protocols.postgres.upstream import Upstream
from funcgate.wire.postgres import backend
from support.dbnoise import CANARY, CASES, RELATIONS, Case, conversation, mutated

_LIMITS = Limits(max_rows=5000, max_response=1 << 20)
PLACE = Place("127.0.0.1", 1, "shop")
_NOBODY = Principal(issuer="corp", subject="a", groups=frozenset(), claims={}, token="", expires_at=0.0)
_RULE = RuleSpec(functions=["shop.*"], detect="all", fields=["people.ssn"])


def deaf(limits: Mapping[int, int]) -> Channel:
    """One side of a session, whose other side hears nothing."""
    channel, nothing = Channel(limits), lambda *_: None
    names = ("write", "close", "abort", "pause_reading", "resume_reading")
    channel.transport = cast(asyncio.Transport, SimpleNamespace(**dict.fromkeys(names, nothing)))
    return channel


class Ears:
    """A session without a caller: keeps what it would have said."""

    def __init__(self, target: PostgresTarget, plan: MaskingPlan, origins: Origins) -> None:
        self.target, self.origins = target, origins
        self.site = SimpleNamespace(snapshot=SimpleNamespace(maskers=plan.masker), targets={"shop": target})
        self.client = self.name = self.settings = ""
        self.awaiting_ready = self.unsynced = self.dirty = False
        self.role = ""
        self.held: list[bytes] = []
        self.caller = SimpleNamespace(ended=False)
        self.upstream: Upstream | None = None

    def answers(self, data: bytes, cuts: random.Random) -> None:
        """The database has said this, in pieces, and gone."""
        channel, at = deaf(backend.limits_of(_LIMITS.max_response)), 0
        while at < len(data):
            size = cuts.choice((len(data), len(data), 7, 300))
            channel.data_received(data[at : at + size])
            at += size
        self.upstream = Upstream(PLACE, channel)

    def hold(self, data: bytes) -> None:
        self.held.append(data)

    async def tell(self, data: bytes) -> None:
        self.held.append(data)

    async def flush(self) -> None:
        return


class Lied:
    """Answers to statements, mutated. `trouble` is what must not have happened. `hides` False: there are no rules."""

    def __init__(self, seed: int, *, hides: bool = True) -> None:
        self._hides = hides
        self.counts: Counter[str] = Counter()
        self.trouble: list[str] = []
        self._noise = random.Random(seed)
        self._catalog = SqlCatalog("shop", ())
        self._plan = compile_rules(
            [_RULE] if hides else [], [*self._catalog.functions], hash_key=bytes(32), rows=[*self._catalog.functions]
        )
        self.target = PostgresTarget(
            "shop", "postgres://127.0.0.1:1/shop", PLACE, self._catalog, _LIMITS, self._plan.columns
        )

    async def run(self, messages: int) -> tuple[int, int]:
        """Memory (resident, in bytes) after a tenth, and at the end."""
        origins = await self.known()
        early = 0
        while self.counts["messages"] < messages and len(self.trouble) < 5:
            case = self._noise.choice(CASES)
            data, touched = mutated(
                self._noise,
                conversation(self._noise, case),
                conversation(self._noise, self._noise.choice(CASES)),
                self.counts,
            )
            try:
                said = await self.carried(case, data, origins)
            except Exception as error:
                self.trouble.append(f"{type(error).__name__}: {error} after {data[:600]!r}")
                continue
            if wrong := wrong_with(said, touched, hides=self._hides, headed="HEADER" in case.sql):
                self.trouble.append(f"{wrong}: {said[:600]!r} after {data[:600]!r}")
            if not early and self.counts["messages"] > messages // 10:
                early = resident()
        return early, resident()

    def ears(self, origins: Origins | None = None) -> Ears:
        return Ears(self.target, self._plan, origins or Origins())

    async def known(self) -> Origins:
        rows = b"".join(backend.row([value.encode() for value in row]) for row in RELATIONS)
        ears = self.ears()
        ears.answers(rows + backend.ready(b"I"), random.Random(0))
        assert ears.upstream is not None
        await ears.origins.refresh(ears.upstream, possible=True)
        return ears.origins

    async def carried(self, case: Case, data: bytes, origins: Origins) -> bytes:
        """As `Gateway.carry` does it, from `send` to `deliver`."""
        ears, exchange = self.exchange(case, data, origins)
        try:
            reply = await exchange.send(Permit("c", "d"), NO_LEASE)
            masked = self._plan.masker("shop.select").mask_reply(reply, NO_LEASE)
            await exchange.deliver(masked.reply)
            self.counts["delivered"] += 1
        except Refused as refused:
            self.counts[str(refused.code)] += 1
        return b"".join(ears.held)

    def exchange(self, case: Case, data: bytes, origins: Origins) -> tuple[Ears, StatementExchange]:
        """A statement that was allowed, and whom its answer goes to; the database has answered already."""
        ears = self.ears(origins)
        ears.answers(data, self._noise)
        (statement,) = self._catalog.analyse(case.sql)
        exchange = StatementExchange(
            cast(Speaker, ears), statement.function, Prepared(case.sql, statement, ()), Sending(b"", case.expected)
        )
        exchange.call = Call(
            id="c", target="shop", function=f"shop.{statement.function}", args={}, principal=_NOBODY, session="",
            digest="d", received_at=0.0,
        )  # fmt: skip
        assert ears.upstream is not None
        asyncio.get_running_loop().call_soon(ears.upstream.channel.eof_received)
        return ears, exchange


def wrong_with(said: bytes, touched: bool, *, hides: bool = True, headed: bool = False) -> str:
    """What a caller should not have been handed, in words; "" if all is well. `headed`: the first row that is copied is names,
    and those are the database's to say."""
    at = 0
    while at < len(said):
        kind, end = said[at : at + 1], at + 1 + int.from_bytes(said[at + 1 : at + 5], "big")
        payload = said[at + 5 : end]
        if at + 5 > len(said) or end > len(said) or end < at + 5 or kind not in READ:
            return "no frame"
        try:
            READ[kind](payload)
        except (ValueError, struct.error, IndexError, AssertionError) as error:
            return f"a frame {kind!r} that is none ({error})"
        names, headed = headed and kind == b"d", headed and kind != b"d"
        if hides and CANARY in payload and not names and not (touched and kind in b"ENAS"):
            return "a hidden value"
        at = end
    return ""


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def deceived(seed: int, messages: int) -> tuple[Counter[str], list[str], int, int]:
    """For a process of its own."""
    lied, bare = Lied(seed), Lied(seed, hides=False)
    early, _ = asyncio.run(lied.run(messages * 4 // 5))
    _, late = asyncio.run(bare.run(messages - messages * 4 // 5))
    return lied.counts + bare.counts, lied.trouble + bare.trouble, early, late


# What the messages are, read by hand: no reader of the gateway's own is trusted here.


def _texts(count: int) -> Any:
    def read(payload: bytes) -> None:
        assert payload.count(b"\0") == count, "texts"
        assert payload.endswith(b"\0"), "no end"

    return read


def _nothing(payload: bytes) -> None:
    assert not payload, "bytes in it"


def _fields(payload: bytes) -> None:
    assert payload == b"\0" or payload.endswith(b"\0\0"), "no end"
    assert all(part[:1].isalpha() for part in payload[:-2].split(b"\0") if len(payload) > 1), "a field without a letter"


def _row(payload: bytes) -> None:
    at = 2
    for _ in range(int.from_bytes(payload[:2], "big")):
        (size,) = struct.unpack_from("!i", payload, at)
        at += 4 + max(size, 0)
        assert size >= -1, "a negative length"
    assert at == len(payload), "no end"


def _columns(payload: bytes) -> None:
    at = 2
    for _ in range(int.from_bytes(payload[:2], "big")):
        at = payload.index(b"\0", at) + 19
        assert payload[at - 2 : at] in (b"\0\0", b"\0\1"), "a format"
    assert at == len(payload), "no end"


def _copy(payload: bytes) -> None:
    assert len(payload) == 3 + 2 * int.from_bytes(payload[1:3], "big"), "columns"


def _state(payload: bytes) -> None:
    assert payload in (b"I", b"T", b"E"), "a state"


READ: dict[bytes, Any] = {
    b"1": _nothing, b"2": _nothing, b"n": _nothing, b"s": _nothing, b"I": _nothing, b"c": _nothing, b"T": _columns, b"D": _row,
    b"C": _texts(1), b"S": _texts(2), b"E": _fields, b"N": _fields, b"H": _copy, b"d": lambda _: None,
    b"R": lambda _: None, b"K": lambda _: None, b"Z": _state, b"t": lambda _: None,
    b"A": lambda payload: _texts(2)(payload[4:]),
}  # fmt: skip
