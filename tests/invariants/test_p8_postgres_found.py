"""P8, P9, P10: what the million mutated messages found, each as small as it is. See test_p8_postgres_million.py."""

import asyncio
import gc
import random
import struct
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from funcgate.core.budget import Accounts
from funcgate.core.call import Permit
from funcgate.core.lease import NO_LEASE
from funcgate.core.refusal import Code
from funcgate.protocols.postgres.extended import Carrier, Extended
from funcgate.protocols.postgres.notifying import Notification
from funcgate.protocols.postgres.session import Session
from funcgate.protocols.postgres.target import SessionLimits
from funcgate.protocols.postgres.upstream import Upstream
from funcgate.wire.postgres import backend, frames, frontend
from funcgate.wire.postgres.values import Opaque, shown
from support.dbnoise import CASES, TABLE, described, row
from support.lied import PLACE, Lied, deaf
from support.pgwire import Raw, errors, kinds
from support.postgres import SqlGate

NAMES = described([("up", 0, 0, 25, 0), ("name", TABLE, 2, 25, 0)])
HEAD = frames.frame(b"T", NAMES)
ROW = frames.frame(b"D", row([b"x", b"y"]))
OTHER = frames.frame(b"T", described([("up", 0, 0, 2950, 0), ("name", TABLE, 2, 2950, 0)]))
END, READY = frames.frame(b"C", b"SELECT 1\0"), backend.ready(b"I")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (
            HEAD + ROW + b"D\xff\xff\xff\xff" + END + READY,
            "a row whose length no row may have, behind one that is whole",
        ),
        (HEAD + ROW + frames.frame(b"C", b"SELECT 1") + READY, "a tag without its end"),
        (HEAD + ROW + frames.frame(b"C", b"canary-31b5\tand more\0") + READY, "a tag that is anything"),
        (HEAD + ROW + END + backend.ready(b"x"), "a state that is none"),
        (HEAD + ROW + END + frames.frame(b"Z"), "no state"),
        (HEAD + frames.frame(b"I", b"canary") + READY, "an empty message that is not empty"),
        (frames.frame(b"E", b"C22P02\0\xfftext\0\0") + READY, "an error whose field has no letter"),
        (frames.frame(b"N", b"C22P02\0Mtext\0") + HEAD + END + READY, "a notice that ends in the middle"),
        (HEAD + ROW + OTHER + END + READY, "other columns, in the middle of the rows"),
        (frames.frame(b"G", b"\0\0\1\0\0") + END + READY, "a COPY that nobody asked for, from the caller"),
        (frames.frame(b"H", b"\0\0\1\0\0") + END + READY, "a COPY that nobody asked for, to the caller"),
        (frames.frame(b"T", b"\x10\0" + b"\0" * 19 * 4096) + END + READY, "more columns than there can be"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_answer_that_is_none_is_refused(answer: bytes, why: str) -> None:
    lied = Lied(0)

    async def carried() -> bytes:
        return await lied.carried(CASES[0], answer, await lied.known())

    assert b"\0\0\0" not in asyncio.run(carried()).replace(HEAD, b"").replace(ROW, b""), why
    assert lied.counts == {str(Code.TARGET_UNREACHABLE): 1}


def test_a_copy_keeps_its_columns() -> None:
    """Attack: columns of which none is hidden, described in the middle of a COPY."""
    line, name = frames.frame(b"d", b"canary-31b5\tname\n"), frames.frame(b"T", described([("name", TABLE, 2, 25, 0)]))
    lied = Lied(0)

    async def carried() -> bytes:
        return await lied.carried(
            CASES[5], frames.frame(b"H", b"\0\0\2" + bytes(4)) + name + line + END + READY, await lied.known()
        )

    assert b"canary" not in asyncio.run(carried())
    assert lied.counts == {str(Code.TARGET_UNREACHABLE): 1}


def test_what_comes_unasked_is_read_before_it_is_a_call() -> None:
    """Attack: the parameter that says how texts are read changes while nobody asks, and the session goes on."""
    said = [b"Sstandard_conforming_strings\0off\0", b"Nno end", b"Eno end", b"A\0\0\0\1chan"]

    async def notified(raw: bytes) -> None:
        ears = Lied(0).ears()
        with pytest.raises(frames.Malformed):
            Notification(ears, frames.Frame(raw[:1], raw[1:], frames.frame(raw[:1], raw[1:])))

    for raw in said:
        asyncio.run(notified(raw))


def test_what_comes_before_the_end_of_a_batch_is_bounded() -> None:
    """Attack: a database that answers Sync with notices, until the memory is gone."""

    async def synced() -> None:
        ears = cast(Any, Lied(0).ears())
        notice = backend.fields(b"N", {"S": "NOTICE", "C": "00000", "M": "y" * 60_000})
        ears.answers(notice * 40 + READY, random.Random(0))
        ears.unsynced, ears.unasked, ears.settled, ears.ready = True, _nothing, lambda _: None, _nothing
        with pytest.raises(frames.Malformed):
            await Extended(cast(Carrier, ears)).take(frames.Frame(b"S", b"", frontend.SYNC_FRAME))

    asyncio.run(synced())


def test_a_session_that_ended_is_gone() -> None:
    """Attack: sessions that live for a while, one after the other: what they knew stayed until a collection that never came."""

    class Carrying:
        async def carry(self, exchange: Any, snapshot: object) -> None:
            exchange.session.upstream = Upstream(PLACE, deaf({}))

    async def lived() -> list[weakref.ref[Any]]:
        lied = Lied(0)
        caller = deaf(frontend.limits_of(1000))
        caller.data_received(frames.frame(b"X"))
        sites = SimpleNamespace(
            limits=SessionLimits(), site=SimpleNamespace(snapshot=None), accounts=Accounts(), draining=False
        )
        session = Session(cast(Any, Carrying()), cast(Any, sites), caller, "", lied.target, None)
        session.origins = await lied.known()
        (statement,) = lied.target.catalog.analyse("SELECT ssn FROM people")
        session.origins.hiding(statement, lied.target.columns("shop.select"))
        await session.run({})
        return [weakref.ref(session), weakref.ref(session.origins), weakref.ref(session.handles)]

    gc.disable()
    try:
        assert [left() for left in asyncio.run(lived())] == [None] * 3
    finally:
        gc.enable()


def test_what_waits_to_be_passed_on_is_bounded() -> None:
    """Attack: large values in a hidden column. Their lines are small, the messages behind these are not."""
    large = frames.frame(b"D", row([b"x" * 50_000, b"y"])) * 200

    async def passed() -> tuple[int, int]:
        lied = Lied(0)
        _, exchange = lied.exchange(CASES[0], HEAD + large + END + READY, await lied.known())
        reply = await exchange.send(Permit("c", "d"), NO_LEASE)
        most = pieces = 0
        assert reply.stream is not None
        assert exchange.answer is not None
        async for piece in reply.stream:
            pieces, most = pieces + 1, max(most, exchange.answer.held)
            exchange.answer.written(piece)
        return pieces, most

    pieces, most = asyncio.run(passed())
    assert pieces > 5
    assert most < 2 << 20


async def _nothing(*_: object) -> None:
    return


def test_a_small_number_is_no_large_text() -> None:
    """Attack: a numeric of ten bytes that is shown with 131,072 digits, thousands of them in one answer."""
    wide = struct.pack("!hhHHH", 1, 32767, 0, 0, 7)
    assert shown(1700, 1, wide) == "7e131068"
    assert shown(1700, 1, struct.pack("!hhHHH", 1, 0, 0, 16383, 7)) == "7." + "0" * 68
    assert shown(1700, 1, struct.pack("!hhHHH", 1, -4000, 0x4000, 16383, 7)) == "-7e-16000"
    assert shown(1700, 1, struct.pack("!hhHHHH", 2, 3, 0, 0, 4111, 1111)) == "4111111100000000"


@pytest.mark.parametrize("kind", [1082, 1083, 1114, 1184, 1186, 2950])
def test_what_cannot_be_read_stays_so(kind: int) -> None:
    assert type(shown(kind, 1, b"4111 1111 1111 1111 of text")) is Opaque


def test_messages_without_a_payload_have_none() -> None:
    limits = frontend.limits_of(1000)
    for kind in (b"S", b"H", b"X", b"c"):
        assert frames.size_of(frames.frame(kind), 0, limits) == 5
        with pytest.raises(frames.Malformed):
            frames.size_of(frames.frame(kind, b"x"), 0, limits)


def test_every_value_that_is_bound_is_judged(make_sql_gate: Callable[..., SqlGate]) -> None:
    """Attack: bind what no policy would allow, then bind something else in its place: both went to the database."""
    policies = [
        {
            "name": "one", "effect": "allow", "functions": ["shop.select"], "principals": ["*"],
            "when": "size(args.parameters) == 1 && args.parameters[0] == 'fine'",
        }
    ]  # fmt: skip
    gate = make_sql_gate(policies=policies).start()
    with Raw(gate.port) as raw:
        assert raw.log_in(gate.authority.token())[-1].kind == b"Z"
        raw.parse("s", "SELECT $1::text")
        for value in (b"secretly", b"fine"):
            raw.send(b"B", b"\0s\0\0\0\0\1" + struct.pack("!I", len(value)) + value + b"\0\0")
        raw.execute()
        raw.send(b"S")
        found = errors(raw.until(b"Z"))
    assert [each["C"] for each in found] == ["42501"]
    bound = [each[0]["args"]["parameters"] for each in gate.calls_of("shop.select")]
    assert bound == [["secretly"]]


@pytest.mark.parametrize(
    "then", [(b"C", b"Sbad\0"), (b"E", b"p\0\0\0\0\0"), (b"D", b"Pp\0"), (b"B", b"\0good\0" + bytes(6))]
)
def test_nothing_is_waited_for_behind_an_error(
    make_sql_gate: Callable[..., SqlGate], then: tuple[bytes, bytes]
) -> None:
    """Attack: the server hears nothing until Sync, and who asks it meanwhile waits for as long as a statement may take."""
    gate = make_sql_gate(target={"limits": {"timeout": "1s", "first_byte_timeout": "1s"}}).start()
    with Raw(gate.port) as raw:
        assert raw.log_in(gate.authority.token())[-1].kind == b"Z"
        raw.send(b"Q", b"BEGIN\0")
        raw.until(b"Z")
        raw.parse("good", "SELECT 1")
        raw.bind("p", "good")
        raw.send(b"S")
        assert kinds(raw.until(b"Z")) == "12Z"
        raw.parse("bad", "SELECT nothing FROM nowhere")
        raw.send(*then)
        raw.send(b"S")
        assert kinds(raw.until(b"Z")) == "EZ"
        raw.send(b"Q", b"ROLLBACK\0")
        assert kinds(raw.until(b"Z")) == "CZ"
    assert {entry.get("code") for entry in gate.entries()}.isdisjoint({"target.timeout", "target.unreachable"})


def test_what_cannot_be_read_passes_where_no_rule_speaks_of_it(make_sql_gate: Callable[..., SqlGate]) -> None:
    gate = make_sql_gate().start()
    with gate.connect() as connection, connection.cursor(binary=True) as cursor:
        found = cursor.execute("SELECT '\\x01ff'::bytea, point(1, 2) FROM generate_series(1, 3)").fetchall()
    assert [len(row) for row in found] == [2] * 3
    assert found[0][0] == b"\x01\xff"
    assert {entry.get("code") for entry in gate.entries()}.isdisjoint({"gateway.error"})


def test_tags_of_commands() -> None:
    for tag in ("INSERT 0 1", "CREATE TABLE", "SELECT 12", "???", "COPY 4", "DROP OPERATOR CLASS"):
        assert backend.read_tag(tag.encode() + b"\0") == tag
    for bad in (b"SELECT 1", b"SELECT\0 1\0", b"", b"\0", "S\u00e9LECT\0".encode(), b"A" * 200 + b"\0"):
        with pytest.raises(frames.Malformed):
            backend.read_tag(bad)
