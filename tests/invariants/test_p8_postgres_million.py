"""P1, P8, P9, P10: a million mutated messages, half from callers, half from a database. No crash, no hang, no memory growth,
nothing forwarded that was not parsed and allowed, nothing handed out that is hidden.

Callers' messages all go through real sockets into a real gateway in front of a real database, whose own log is the witness.
A database's go without sockets into what reads them, and some ten thousands through real sockets.
"""

import contextlib
import multiprocessing
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.dbnoise import CASES
from support.leaks import HIDDEN, PEOPLE
from support.lied import Lied, deceived, wrong_with
from support.lying import Lying
from support.pglog import Allowed, log_everything, logged
from support.pgnoise import assault
from support.pgwire import Raw
from support.postgres import Database, SqlGate
from support.statements import READING, TABLES, state

MANY = 500_000
PROCESSES, CALLERS = 2, 10
SWALLOW = """
CREATE TABLE swallow (id int, x text);
CREATE FUNCTION swallowed() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER swallowing BEFORE INSERT ON swallow FOR EACH ROW EXECUTE FUNCTION swallowed();
"""
READERS: list[dict[str, Any]] = [
    {
        "name": "reading", "effect": "allow", "functions": [*READING, "shop.cursor", "shop.deallocate", "shop.listen"],
        "principals": ["group:agents"],
    },
    {  # a COPY of which nothing stays, so that copied data are parsed, too
        "name": "swallowing", "effect": "allow", "functions": ["shop.copy_in"], "principals": ["group:agents"],
        "when": "args.writes == ['swallow']",
    },
]  # fmt: skip
LIMITS = {"max_request": "16KiB", "max_response": "1MiB", "timeout": "20s", "max_rows": 2000}


@pytest.fixture
def database() -> Iterator[Database]:
    """One of its own. The gateway comes as a superuser: only the judgement protects."""
    found = Database().start()
    try:
        with found.connect(user="root") as connection:
            for sql in (TABLES, PEOPLE, SWALLOW):
                connection.execute(sql)  # type: ignore[call-overload]
        log_everything(found)
        yield found
    finally:
        found.stop()


@pytest.mark.slow
def test_half_a_million_from_callers(make_sql_gate: Callable[..., SqlGate], database: Database) -> None:
    masking = [{"functions": ["shop.*"], "fields": HIDDEN}]
    gate = make_sql_gate(policies=READERS, masking=masking, target={"limits": LIMITS})
    gate.file.write_text(gate.file.read_text().replace("user: owner", "user: root"))
    gate.start()
    before = state(database)
    log = database.folder / "log.txt"
    since = log.stat().st_size
    counts = assaulted(gate, MANY // 10, 0)
    early = resident(gate)
    counts += assaulted(gate, MANY * 45 // 100, 1)
    half = resident(gate)
    counts += assaulted(gate, MANY * 45 // 100, 2)
    late = resident(gate)
    until = log.stat().st_size
    assert counts["messages"] >= MANY
    assert state(database) == before
    with gate.connect() as connection:  # an honest caller is served as ever
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (5,)
    assert gate.stop() == 0
    assert "Traceback" not in gate.log.read_text()
    allowed = Allowed(gate.data / "journal")
    assert (allowed.errors, allowed.unended) == ([], 0)
    witnessed: Counter[str] = Counter()
    for found in logged(log, since, until):
        witnessed[found.step] += 1
        assert allowed.has(found), found
    memory = [resident_bytes >> 20 for resident_bytes in (early, half, late)]
    print(f"\ncallers: {dict(counts)}\ncalls: {allowed.calls}, the database saw {dict(witnessed)}; MB {memory}")
    assert min(witnessed[step] for step in ("statement", "parse", "bind", "execute", "failed")) > MANY // 500
    assert late - early < 64 << 20  # what is kept of statements that were read: 25 MB when it is full
    assert late - half < 16 << 20


def assaulted(gate: SqlGate, messages: int, seed: int) -> Counter[str]:
    """So many messages from several processes, ten callers each; no trouble with any of them."""
    token, each = gate.authority.token(), -(-messages // PROCESSES // CALLERS)
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as processes:
        futures = [
            processes.submit(assault, gate.port, token, PROCESSES * seed + number, each, CALLERS, b"canary")
            for number in range(PROCESSES)
        ]
        found = [future.result() for future in futures]
    assert [trouble for _, troubles in found for trouble in troubles] == []
    return sum((counts for counts, _ in found), Counter())


def resident(gate: SqlGate) -> int:
    assert gate.process is not None
    return int(Path(f"/proc/{gate.process.pid}/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("many", [10_000, pytest.param(MANY, marks=pytest.mark.slow)])
def test_half_a_million_from_a_database(many: int) -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as processes:
        found = list(processes.map(deceived, (many, many + 1), (many // 2 + 1,) * 2))
    for counts, trouble, early, late in found:
        print(f"\ndatabase: {dict(counts)}; MB {early >> 20} {late >> 20}")
        assert trouble == []
        assert late - early < 16 << 20
        assert counts["delivered"] > many // 200
    assert sum(counts["messages"] for counts, *_ in found) >= many


@pytest.mark.slow
def test_lies_through_sockets(make_sql_gate: Callable[..., SqlGate]) -> None:
    lying = Lying(5)
    limits = {"timeout": "2s", "first_byte_timeout": "200ms", "idle_timeout": "200ms", "max_response": "1MiB"}
    target = {"url": f"postgres://127.0.0.1:{lying.port}/shop", "limits": limits}
    masking = [{"functions": ["shop.*"], "detect": "all", "fields": ["people.ssn"]}]
    gate = make_sql_gate(target=target, masking=masking).start()
    trouble: list[str] = []
    try:
        callers = [threading.Thread(target=believing, args=(gate, number, 300, trouble)) for number in range(8)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert trouble == []
        assert lying.counts["messages"] > 10_000
        lying.honest = True
        with Raw(gate.port) as raw:
            assert raw.log_in(gate.authority.token())[-1].kind == b"Z"
            raw.send(b"Q", CASES[0].sql.encode() + b"\0")
            assert raw.until(b"Z")[0].kind == b"T"
        assert gate.stop() == 0
        assert "Traceback" not in gate.log.read_text()
        allowed = Allowed(gate.data / "journal")
        assert (allowed.errors, allowed.unended) == ([], 0)
        print(f"\nlies: {dict(lying.counts)}; calls: {allowed.calls}")
    finally:
        lying.close()


def believing(gate: SqlGate, number: int, statements: int, trouble: list[str]) -> None:
    """A caller who asks so often, and looks at what it gets."""
    token = gate.authority.token()
    left = iter(range(statements))
    while (at := next(left, None)) is not None:
        with Raw(gate.port) as raw, contextlib.suppress(ConnectionError):
            raw.socket.settimeout(60)
            said = raw.log_in(token)
            while said and said[-1].kind == b"Z" and at is not None:
                case = CASES[(number + at) % len(CASES)]
                if case.expected:
                    raw.parse("", case.sql)
                    raw.bind("", "")
                    raw.execute()
                    raw.send(b"S")
                else:
                    raw.send(b"Q", case.sql.encode() + b"\0")
                said = raw.until(b"Z")
                whole = b"".join(each.raw for each in said)
                if wrong := wrong_with(whole, touched=True, headed="HEADER" in case.sql):
                    trouble.append(f"{wrong}: {said}")
                at = next(left, None)


def test_what_is_wrong_is_noticed() -> None:
    """The judge of what comes out sees a hidden value, and what is no frame."""
    assert Lied(0).trouble == []
    row = b"D\0\0\0\x15\0\1\0\0\0\x0bcanary-31b5"
    assert wrong_with(row, touched=False) == "a hidden value"
    assert wrong_with(row[:-1], touched=False) == "no frame"
    copied = b"d\0\0\0\x0fcanary-31b5"
    assert wrong_with(copied, touched=False) == wrong_with(copied * 2, touched=False, headed=True) == "a hidden value"
    assert wrong_with(copied, touched=False, headed=True) == ""
    assert wrong_with(b"Z\0\0\0\4", touched=False).startswith("a frame")
