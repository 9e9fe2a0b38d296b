"""Plain statements begun by the compiled half, beside what the pure modules make of the same session and the same bytes."""

import asyncio
import contextlib
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funcgate.catalog.sql import own_text
from funcgate.core.call import Permit
from funcgate.core.native import half
from funcgate.core.refusal import Refused
from funcgate.protocols.postgres import plain
from funcgate.protocols.postgres.channel import Ended
from funcgate.protocols.postgres.session import Session
from funcgate.protocols.postgres.statement import Prepared
from funcgate.wire.postgres import frontend
from funcgate.wire.postgres.backend import Column
from funcgate.wire.postgres.frames import Malformed, frame
from support.dbnoise import TABLE
from support.planned import CALLER, bind, session_of
from support.quick import examples

native: Any = half("funcgate.protocols.postgres._drive")
if native is None:
    pytest.skip("nothing is compiled here", allow_module_level=True)

VALUES = st.sampled_from([None, b"", b"7", b"it's", b'"', b"a\\b", b"\xc3\xa9", b"\xff", b"\0\n\x7f", b"x" * 2000])
CODES = st.sampled_from([(), (0,), (1,), (0, 0), (0, 1), (1, 1)])
SQL = st.sampled_from([
    "SELECT $1", "SELECT note FROM people WHERE id = $1", "SELECT ssn FROM people", "SELECT note FROM people WHERE id = 7",
    "INSERT INTO people (note) VALUES ($1)", "BEGIN", "SELECT $2", " SELECT 1 ; ",
])  # fmt: skip
KNOWN = st.sampled_from([None, (), (Column("note", TABLE, 2, 25, 0),), (Column("n", 0, 0, 23, 0),) * 2])
# What may have changed since the plan was made.
CHANGES = st.sets(
    st.sampled_from([
        "version", "tables", "until", "site", "types", "failed", "waiting", "unsynced", "full", "described", "role", "roles",
        "url",
    ]),
    max_size=2,
)  # fmt: skip


RUNS = st.builds(
    lambda name, formats, values, results, described, end, behind: (
        bind(name, formats, values, results) + (frontend.DESCRIBE_UNNAMED if described else b"") + end + behind
    ),
    st.sampled_from([b"s", b"s", b"s", b"t", b"", b"\xff"]),
    CODES,
    st.lists(VALUES, max_size=2),
    CODES,
    st.booleans(),
    st.sampled_from([frontend.EXECUTE_AND_SYNC] * 3 + [frontend.EXECUTE_AND_SYNC[:-1], frame(b"E", b"\0\0\0\0\1")]),
    st.sampled_from([b"", b"", frontend.SYNC_FRAME, b"B"]),
)


def begun(session: Session, *, compiled: bool) -> Any:
    """What is begun, in all that can be seen of it."""
    try:
        found = cast(Any, session._quick).ahead() if compiled else session.extended.plain_ahead()
    except Malformed:
        return "malformed"
    if found is None:
        return None, bytes(session.caller._buffer[session.caller._at :]), dict(session.extended.names.portals)
    prepared, portals = found.prepared, session.extended.names.portals
    return (
        found._sql, found._data, found._asked, found._function, found.target, found.asks,
        found.portal.bind, type(found.portal.bind), found.portal.columns, found.portal.behind,
        prepared is session.extended.names.statements["s"], list(portals) == [""] and portals[""] is found.portal,
        bytes(session.caller._buffer[session.caller._at :]),
    )  # fmt: skip


@settings(deadline=None, max_examples=examples(300))
@given(SQL, RUNS, KNOWN, st.sampled_from([(), (25,), (23, 17)]), CHANGES)
def test_both_begin_the_same(
    sql: str, run: bytes, columns: tuple[Column, ...] | None, types: tuple[int, ...], changes: set[str]
) -> None:
    async def both() -> tuple[Any, Any]:
        one = await session_of(sql, run, columns, types, changes)
        other = await session_of(sql, run, columns, types, changes)
        return begun(one, compiled=True), begun(other, compiled=False)

    one, other = asyncio.run(both())
    assert one == other


@settings(deadline=None, max_examples=examples(300))
@given(SQL, RUNS, st.sampled_from([(), (25,), (23, 17)]), CHANGES, st.booleans())
def test_both_judge_the_same(sql: str, run: bytes, types: tuple[int, ...], changes: set[str], simple: bool) -> None:
    """What is judged, and what its digest is over; whatever changes between the beginning and then."""

    async def resolved(*, compiled: bool) -> Any:
        session, found = await session_of(sql, run, None, types, set()), None
        if simple:
            target, raw = session.target, frontend.query(sql)
            (statement,) = target.catalog.analyse(sql)
            plan = plain.plan_of(session, target, "", Prepared("", statement, ()))
            found = plain.Plain(session, plan, sql, raw) if plan is not None else None
        else:
            with contextlib.suppress(Malformed):
                found = session.extended.plain_ahead()
        if found is None:
            return None
        changed = await session_of(sql, run, None, types, changes)
        session.sites, session.role = changed.sites, changed.role
        session.origins.version += "version" in changes
        try:
            call = await (found.resolve(CALLER) if compiled else cast(Any, plain)._slow.resolve(found, CALLER))
        except Refused as refused:
            return refused.code, refused.public_detail, refused.private_detail
        return (
            call.target, call.function, list(call.args.items()), call.principal, call.session.partition("-")[0], call.digest,
            call.shared.args if call.shared else None, call.own, call.client, call.trace, call.reason,
        )  # fmt: skip

    async def both() -> tuple[Any, Any]:
        return await resolved(compiled=True), await resolved(compiled=False)

    one, other = asyncio.run(both())
    assert one == other


@pytest.mark.parametrize(("ends", "code"), [(TimeoutError(), "target.timeout"), (Ended(), "target.unreachable")])
def test_a_task_is_told_what_became_of_the_answer(ends: Exception, code: str) -> None:
    """A task throws what its future ended with, where a drive is given it."""
    run = bind(b"s", (0,), [b"7"], (0,)) + frontend.EXECUTE_AND_SYNC

    async def refused() -> Refused:
        session = await session_of("SELECT note FROM people WHERE id = $1", run, (), (), set())
        found: Any = session.extended.plain_ahead()
        call = await found.resolve(CALLER)
        sent = found.send(Permit(call.id, call.digest), cast(Any, None))

        async def answered() -> Any:
            return await sent

        task = asyncio.create_task(answered())
        await asyncio.sleep(0)
        assert session.upstream is not None
        cast(Any, session.upstream.channel).waiter.set_exception(ends)
        with pytest.raises(Refused) as why:
            await task
        return why.value

    assert asyncio.run(refused()).code == code


@settings(deadline=None)
@given(CHANGES)
def test_a_plan_holds_as_long_for_both(changes: set[str]) -> None:
    async def both() -> tuple[bool, bool]:
        session = await session_of("SELECT note FROM people WHERE id = $1", b"", None, (), changes)
        plan = session.extended.names.statements["s"].plan
        names = plain.PurePlan.__struct_fields__
        pure = plain.PurePlan(*[getattr(plan, name) for name in names])
        return plan.holds(session), pure.holds(session)

    one, other = asyncio.run(both())
    assert one == other
    assert one == (not changes & {"version", "tables", "until", "site", "roles", "url"})


CODE_LISTS = st.lists(st.integers(0, 1), max_size=5).map(tuple)


@given(CODE_LISTS, st.lists(st.one_of(st.none(), st.binary(max_size=40), VALUES), max_size=5).map(tuple), CODE_LISTS)
def test_values_are_told_as_python_has_them(
    formats: tuple[int, ...], values: tuple[bytes | None, ...], results: tuple[int, ...]
) -> None:
    told = native.told(None, formats, values, results)
    assert told in (None, f"{(formats, values, results)!r})".encode())


@given(
    st.one_of(
        st.text(max_size=60), st.text(st.characters(codec="ascii"), max_size=60), st.integers(0, 1100).map("x".__mul__)
    )
)
def test_texts_are_told_as_python_has_them(text: str) -> None:
    assert native.told(text, (), (), ()) in (None, f"{text!r}, (), ())".encode())


@given(st.text(st.sampled_from(" \t\n\r\f\v;ab\x00\x1cé\u2003"), max_size=12))
def test_the_own_text_is_the_same(sql: str) -> None:
    assert native.owned(sql) == own_text(sql)


def test_plain_values_are_told_at_once() -> None:
    assert native.told(None, (0, 0), (b"7", None), (1,)) == b"((0, 0), (b'7', None), (1,)))"
    assert native.told("SELECT 1", (), (), ()) == b"'SELECT 1', (), ())"
    for count in (337, 338, 339, 340, 341, 342, 1000):  # as many as fit, and a few more
        codes = (0,) * count
        assert native.told(None, codes, (b"",) * 5, codes) in (None, f"{(codes, (b'',) * 5, codes)!r})".encode())
    for size in range(1000, 1030):
        assert native.told(None, (0,), (b"x" * size, b"y"), ()) in (
            None, f"{((0,), (b'x' * size, b'y'), ())!r})".encode()
        )  # fmt: skip
        assert native.told("x" * size, (), (), ()) in (None, f"{'x' * size!r}, (), ())".encode())
