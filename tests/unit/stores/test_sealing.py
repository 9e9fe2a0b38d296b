"""The state at rest with `journal.encryption`: nothing readable in its files, nothing that can be moved, one key."""

import asyncio
import hashlib
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from funcgate.core.approval import Approval, Grant, State, StoreFailed, StoreLocked, Ticket
from funcgate.core.ids import new_id
from funcgate.core.revocation import Revocation
from funcgate.stores.sql import Database, SqlApprovals, SqlRevocations, rekey
from funcgate.stores.sql.sealing import Altered, Sealed
from support.approvals import NOW, answer, approval, asked

KEY, OTHER = bytes(range(32)), b"o" * 32
WHO = "agent-confidential-7"
PLANTED = (
    WHO,
    "amount-4711",
    "because-of-8822",
    "boss-3003",
    "mailbox-5151",
    "slackplace-616",
    "runaway-929",
    "ada-1414",
)
replace = msgspec.structs.replace


def held(number: int = 0, **changes: Any) -> Approval:
    who = replace(asked().principal, subject=WHO)
    args = msgspec.Raw(b'{"amount":"amount-4711","pad":"%s"}' % (b"x" * 3000))
    what = asked(args=args, reason="because-of-8822", principal=who, client="198.51.100.7")
    return approval(key=f"sha256:{number:064x}", asked=what, answers=(answer("boss-3003"),), **changes)


def grant() -> Grant:
    return Grant(
        id=new_id(NOW), issuer="corp", subject=WHO, function="payments.createTransfer", schema="s", calls=2,
        args=msgspec.Raw(b'{"amount":{"is":"amount-4711"}}'), created_at=NOW, expires_at=NOW + 100, approval="a",
        answers=(answer("boss-3003"),),
    )  # fmt: skip


TICKET = Ticket(digest="d" * 64, approval="a" * 26, recipient="mailbox-5151@corp.example", expires_at=NOW + 60)
REVOCATION = Revocation(id="r" * 26, at=NOW, by="corp/ada-1414", reason="because-of-8822", session="runaway-929")


async def fill(database: Database, count: int) -> list[Approval]:
    approvals, revocations = SqlApprovals(database), SqlRevocations(database)
    kept = [await approvals.open(held(number)) for number in range(count)]
    await approvals.told("slack", kept[0].id, 1, "slackplace-616")
    await approvals.add_grant(grant())
    await approvals.add_ticket(TICKET, NOW)
    await revocations.add(REVOCATION)
    # What was overwritten and what was deleted leaves traces, too.
    await approvals.swap(replace(kept[1], state=State.REJECTED, revision=2, why="because-of-8822"))
    await approvals.open(held(count + 1, id=new_id(NOW - 9e6), state=State.USED, expires_at=NOW - 9e6))
    assert await approvals.forget(NOW - 8e6) == 1
    return kept


async def check(database: Database, kept: list[Approval]) -> None:
    """All that `fill` put there is there."""
    approvals, revocations = SqlApprovals(database), SqlRevocations(database)
    found = {each.id: each for each in await approvals.find(limit=10_000)}
    assert set(found) == {each.id for each in kept}
    assert found[kept[1].id].state is State.REJECTED
    assert all(found[each.id] == each for each in kept if each is not kept[1])
    assert (await approvals.latest(kept[0].key)) == kept[0]
    assert (await approvals.open(held(0))).id == kept[0].id
    assert len(await approvals.grants("payments.createTransfer", WHO, now=NOW)) == 1
    assert await approvals.ticket(TICKET.digest) == TICKET
    assert [each.id for each, where in await approvals.untold("slack", "") if where] == []
    await approvals.swap(replace(kept[0], revision=2))
    assert [where for each, where in await approvals.untold("slack", "") if each.id == kept[0].id] == ["slackplace-616"]
    assert list(await revocations.standing(NOW)) == [REVOCATION]


def within(path: Path, key: bytes | None, story: Callable[[Database], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        database = Database(path, key)
        try:
            return await story(database)
        finally:
            await database.close()

    return asyncio.run(whole())


def readable(folder: Path) -> set[str]:
    """Which planted values stand in any file of the database."""
    raw = b"".join(path.read_bytes() for path in sorted(folder.glob("state.db*")))
    keys = [f"{0:064x}", hashlib.sha256(WHO.encode()).hexdigest(), "198.51.100.7"]
    return {value for value in (*PLANTED, *keys) if value.encode() in raw}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


def test_nothing_confidential_is_in_the_files(path: Path) -> None:
    async def story(database: Database) -> None:
        kept = await fill(database, 40)
        assert readable(path.parent) == set()  # with the write-ahead log as it is
        await check(database, kept)

    within(path, KEY, story)
    assert readable(path.parent) == set()


def copied(path: Path, name: str) -> Path:
    """The files as a crash would leave them now."""
    copy = path.parent / name
    copy.mkdir()
    for file in path.parent.glob("state.db*"):
        (copy / file.name).write_bytes(file.read_bytes())
    return copy / path.name


def test_what_was_in_clear_is_sealed_and_leaves_no_trace(path: Path) -> None:
    async def crashed(database: Database) -> tuple[list[Approval], Path]:
        kept = await fill(database, 700)
        forgotten_by_an_older_funcgate(path)
        return kept, copied(path, "crashed")

    kept, path = within(path, None, crashed)
    assert readable(path.parent) >= set(PLANTED)  # the test can see
    assert b"amount-4711" in Path(f"{path}-wal").read_bytes()

    async def story(database: Database) -> None:
        await database.open()
        assert readable(path.parent) == set()  # while it is open: the log too
        await check(database, kept)

    within(path, KEY, story)
    assert readable(path.parent) == set()


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from funcgate.stores.sql import Database, database, sealing

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

path, where = Path(sys.argv[1]), sys.argv[2]
if where == "unwritten":
    database._clean = die
elif where == "written":
    database._truncate = die
elif where == "truncated":
    database.cleaned = die
else:
    left, real = [int(where)], sealing.Sealed.seal
    def seal(self, *given):
        left[0] -= 1
        return real(self, *given) if left[0] else die()
    sealing.Sealed.seal = seal
asyncio.run(Database(path, bytes(range(32))).open())
"""


def forgotten_by_an_older_funcgate(path: Path) -> None:
    """Its pages stay in the file as they were."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma secure_delete = off")
    query = "insert into notices values ('c', 'old' || ?, 1, 'slackplace-616' || hex(zeroblob(3000)))"
    connection.executemany(query, [(number,) for number in range(50)])
    connection.execute("delete from notices where approval like 'old%'")
    connection.execute("pragma wal_checkpoint")
    connection.close()


@pytest.mark.slow
@pytest.mark.parametrize("where", ["1", "650", "704", "unwritten", "written", "truncated"])
def test_killed_in_the_middle_it_is_sealed_at_the_next_start(path: Path, where: str) -> None:
    kept = within(path, None, lambda database: fill(database, 700))
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path), where], capture_output=True, timeout=60)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()[-500:]
    if where.isdigit():  # nothing was sealed, or everything: what stopped half-way is not there
        within(copied(path, "copy"), None, lambda database: check(database, kept))

    async def story(database: Database) -> None:
        await database.open()
        assert readable(path.parent) == set()
        await check(database, kept)

    within(path, KEY, story)
    assert readable(path.parent) == set()


@pytest.mark.parametrize(("key", "said"), [(None, "names no journal.encryption.key"), (OTHER, "funcgate audit rekey")])
def test_without_the_key_it_says_so_and_nothing_changes(path: Path, key: bytes | None, said: str) -> None:
    kept = within(path, KEY, lambda database: fill(database, 3))
    before = path.read_bytes()

    async def tried(database: Database) -> None:
        for failing in (SqlApprovals(database).find(), SqlRevocations(database).standing(NOW), database.open()):
            with pytest.raises(StoreLocked, match=said) as failed:
                await failing
            assert KEY.hex() not in str(failed.value)

    within(path, key, tried)
    assert path.read_bytes() == before
    within(path, KEY, lambda database: check(database, kept))


def test_another_key_takes_over_and_what_was_sealed_is_not_touched(path: Path) -> None:
    kept = within(path, KEY, lambda database: fill(database, 3))
    with pytest.raises(StoreLocked):
        asyncio.run(rekey(path, OTHER, b"x" * 32))
    sealed = rows(path, "select document from approvals order by id")
    [(wrapped,)] = rows(path, "select wrapped from seal")
    another = sqlite3.connect(path)  # who has it open keeps the write-ahead log
    another.execute("select * from seal").fetchall()
    assert asyncio.run(rekey(path, KEY, OTHER))
    assert all(wrapped not in file.read_bytes() for file in path.parent.glob("state.db*"))
    another.close()
    assert asyncio.run(rekey(path, KEY, OTHER))  # broken off after it was done, and run again
    assert rows(path, "select document from approvals order by id") == sealed
    within(path, OTHER, lambda database: check(database, kept))
    with pytest.raises(StoreLocked):
        within(path, KEY, lambda database: database.open())


def test_there_may_be_nothing_to_go_over_with(path: Path) -> None:
    assert not asyncio.run(rekey(path, KEY, OTHER))
    assert not path.exists()
    within(path, None, lambda database: fill(database, 3))
    assert not asyncio.run(rekey(path, KEY, OTHER))


def test_a_gateway_that_shares_it_in_clear_stops_at_once(path: Path) -> None:
    async def story() -> None:
        clear, sealed = Database(path), Database(path, KEY)
        try:
            await fill(clear, 3)
            await sealed.open()
            for failing in (SqlApprovals(clear).open(held(9)), SqlApprovals(clear).find()):
                with pytest.raises(StoreFailed, match="start this gateway anew"):
                    await failing
        finally:
            await clear.close()
            await sealed.close()

    asyncio.run(story())
    assert readable(path.parent) == set()


def rows(path: Path, query: str, *values: Any) -> list[Any]:
    connection = sqlite3.connect(path)
    with connection:
        found = connection.execute(query, values).fetchall()
    connection.close()
    return found


EXCHANGED = {
    "documents": "update approvals set document = (select document from approvals b where b.id != approvals.id)",
    "keys": "update approvals set key = (select key from approvals b where b.id != approvals.id)",
}


@pytest.mark.parametrize("what", EXCHANGED)
def test_what_two_rows_hold_cannot_be_exchanged(path: Path, what: str) -> None:
    async def made(database: Database) -> list[Approval]:
        return [await SqlApprovals(database).open(held(number, state=State.APPROVED)) for number in (1, 2)]

    kept = within(path, KEY, made)
    rows(path, "create table copy as select * from approvals")
    rows(path, EXCHANGED[what].replace("from approvals b", "from copy b"))

    async def story(database: Database) -> None:
        store = SqlApprovals(database)
        for failing in (store.get(kept[0].id), store.latest(kept[0].key), store.open(held(1))):
            with pytest.raises(StoreFailed):
                await failing
        assert await store.find() == []

    within(path, KEY, story)


def test_a_live_key_that_was_moved_gives_nobody_anothers_approval(path: Path) -> None:
    async def made(database: Database) -> None:
        for number in (1, 2):
            await SqlApprovals(database).open(held(number, state=State.APPROVED))

    within(path, KEY, made)
    [(first,), (second,)] = rows(path, "select live_key from approvals order by id")
    rows(path, "update approvals set live_key = null where live_key = ?", second)
    rows(path, "update approvals set live_key = ? where live_key = ?", second, first)

    async def story(database: Database) -> None:
        with pytest.raises(StoreFailed, match="another one's key"):
            await SqlApprovals(database).open(held(2))

    within(path, KEY, story)


@pytest.mark.parametrize("change", ["approval = 'b'", "expires_at = expires_at + 1", "recipient = 'eve@corp.example'"])
def test_a_link_opens_what_it_was_sent_for(path: Path, change: str) -> None:
    within(path, KEY, lambda database: SqlApprovals(database).add_ticket(TICKET, NOW))
    rows(path, f"update tickets set {change}")

    async def story(database: Database) -> None:
        with pytest.raises(StoreFailed):
            await SqlApprovals(database).ticket(TICKET.digest)

    within(path, KEY, story)


def test_a_row_in_clear_is_not_believed(path: Path) -> None:
    kept = within(path, KEY, lambda database: fill(database, 3))
    planted = msgspec.json.encode(replace(kept[0], state=State.APPROVED))
    rows(path, "update approvals set document = ? where id = ?", planted, kept[0].id)
    rows(path, "update revocations set document = ?", msgspec.json.encode(replace(REVOCATION, session="another")))

    async def story(database: Database) -> None:
        with pytest.raises(StoreFailed):
            await SqlApprovals(database).get(kept[0].id)
        with pytest.raises(StoreFailed, match="cannot be read"):
            await SqlRevocations(database).standing(NOW)

    within(path, KEY, story)


def test_a_grant_is_no_wider_than_it_was_given(path: Path) -> None:
    """What is not sealed of it may be changed, and counts for nothing beyond what is."""
    given = grant()
    within(path, KEY, lambda database: SqlApprovals(database).add_grant(given))
    rows(path, "update grants set calls = 1000, expires_at = 9e9, function = 'payments.other'")

    async def story(database: Database) -> None:
        (found,) = await SqlApprovals(database).grants(now=given.expires_at + 1)
        assert found == given  # by which it is judged whether a call is within it

    within(path, KEY, story)


def test_a_sealed_value_opens_in_its_place_only() -> None:
    form = Sealed(KEY)
    sealed = form.seal("approvals.document", ("a", "b"), b"value")
    assert form.open("approvals.document", ("a", "b"), sealed) == b"value"
    assert form.seal("approvals.document", ("a", "b"), b"value") != sealed
    for place, row in (
        ("grants.document", ("a", "b")),
        ("approvals.document", ("a",)),
        ("approvals.document", ("ab",)),
    ):
        with pytest.raises(Altered):
            form.open(place, row, sealed)
    for at in range(len(sealed)):
        with pytest.raises(Altered):
            form.open("approvals.document", ("a", "b"), sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :])
        with pytest.raises(Altered):
            form.open("approvals.document", ("a", "b"), sealed[:at])
    assert form.hashed("approvals.key", "v") != form.hashed("approvals.caller", "v")
    assert form.hashed("approvals.key", "v") != Sealed(OTHER).hashed("approvals.key", "v")
