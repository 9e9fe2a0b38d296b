"""`funcgate audit list|show` over a real journal that a real gateway's entries are in."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from funcgate.core.entry import Decided, Entry, Kind, Sealed, Who
from funcgate.core.ids import new_id
from funcgate.stores.journal_files import FileJournal

Funcgate = Callable[..., Any]
ALICE, BOB = Who("corp", "alice", ("agents",), None, "aa11"), Who("corp", "bob\x1b[2J", ("ci",), None, "bb22")
OLD, NEW = "a" * 64, "b" * 64


async def _write(folder: Path, ids: list[str]) -> None:
    journal = FileJournal(folder)
    await journal.start()
    first, second, third = ids
    arrived: dict[str, Any] = {
        "kind": Kind.ARRIVED,
        "function": "shop.pay",
        "target": "shop",
        "args": Raw(b'{"amount":5}'),
    }
    await journal.append(
        Entry(kind=Kind.ADMIN, call="", outcome="refused", change={"what": "configuration", "old": OLD, "problems": ["f:1"]}),
        Entry(call=first, principal=ALICE, session="run-1", **arrived),
        Entry(kind=Kind.ALLOWED, call=first, function="shop.pay", policy=Decided(("small",), NEW)),
        Entry(
            kind=Kind.ENDED, call=first, function="shop.pay", outcome="complete", status=200, masked={"email": 2},
            body="text \x1b]0;owned\x07 end", body_bytes=20, timing_us={"send": 10},
        ),
        Entry(call=second, principal=BOB, **arrived),
        Entry(kind=Kind.DENIED, call=second, function="shop.pay", target="shop", code="policy.denied", detail="no policy"),
        Entry(kind=Kind.ENDED, call=second, function="shop.pay", outcome="refused", code="policy.denied"),
        Entry(kind=Kind.DENIED, call=third, code="identity.missing", count=7),
    )  # fmt: skip
    await journal.close()


@pytest.fixture
def ids(folder: Path) -> list[str]:
    now = time.time()
    ids = [new_id(now - 3), new_id(now - 2), new_id(now - 1)]
    (folder / "funcgate-data").mkdir(mode=0o700)
    asyncio.run(_write(folder / "funcgate-data" / "journal", ids))
    return ids


def test_the_list_is_newest_first(funcgate: Funcgate, ids: list[str]) -> None:
    ran = funcgate("audit", "list")
    assert ran.status == 0
    rows = [line.split() for line in ran.out.splitlines()]
    assert [row[0] for row in rows] == ["call", *reversed(ids)]
    assert "×7" in rows[1]
    assert {"bob�[2J", "deny", "policy.denied"} <= set(rows[2])
    assert {"alice", "allow", "complete", "200", "small"} <= set(rows[3])


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (("--principal", "alice"), [0]),
        (("--principal", "group:ci"), [1]),
        (("--function", "shop.*"), [1, 0]),
        (("--decision", "deny"), [2, 1]),
        (("--code", "identity.*"), [2]),
        (("--session", "run-1"), [0]),
        (("--since", "1h"), [2, 1, 0]),
        (("--until", "1h"), []),
        (("--limit", "1"), [2]),
    ],
)
def test_filters(funcgate: Funcgate, ids: list[str], options: tuple[str, ...], wanted: list[int]) -> None:
    found = funcgate("audit", "list", *options, "--json").json
    assert [record["id"] for record in found] == [ids[number] for number in wanted]


@pytest.mark.parametrize("options", [("--since", "yesterday"), ("--decision", "perhaps"), ("--limit", "0")])
def test_filters_that_mean_nothing(funcgate: Funcgate, ids: list[str], options: tuple[str, ...]) -> None:
    ran = funcgate("audit", "list", *options)
    assert ran.status == 2
    assert ran.err


def test_one_call(funcgate: Funcgate, ids: list[str]) -> None:
    ran = funcgate("audit", "show", ids[0])
    assert ran.status == 0
    for said in (
        "corp/alice",
        "shop.pay",
        '{"amount":5}',
        "allow",
        "small",
        "email 2",
        "complete 200",
        "arrived",
        "ended",
    ):
        assert said in ran.out
    assert NEW[:12] in ran.out
    assert "\x1b" not in ran.out
    assert "\x07" not in ran.out
    assert "\x1b" not in funcgate("audit", "show", ids[1]).out
    record = funcgate("audit", "show", ids[0], "--json").json
    assert [entry["kind"] for entry in record["entries"]] == ["arrived", "allowed", "ended"]


def test_a_call_that_is_not_there(funcgate: Funcgate, ids: list[str]) -> None:
    ran = funcgate("audit", "show", new_id())
    assert ran.status == 1
    assert "the journal has no call" in ran.err


def test_changes(funcgate: Funcgate, ids: list[str]) -> None:
    ran = funcgate("audit", "list", "--admin")
    assert f"what=configuration old={OLD[:12]}…" in ran.out
    assert "f:1" in ran.out
    found = funcgate("audit", "list", "--admin", "--json").json
    assert found[0]["change"]["problems"] == ["f:1"]


def test_no_journal_yet(funcgate: Funcgate) -> None:
    ran = funcgate("audit", "list")
    assert ran.status == 1
    assert "funcgate-data/journal: No such file or directory" in ran.err


def test_a_broken_configuration_does_not_hide_the_record(funcgate: Funcgate, folder: Path, ids: list[str]) -> None:
    (folder / "funcgate.yaml").write_text("data_dir: ./funcgate-data\npolicies: 5\n")
    assert funcgate("audit", "show", ids[0]).status == 0
    (folder / "funcgate.yaml").unlink()
    assert funcgate("audit", "list").status == 2
    assert funcgate("audit", "list", "--data-dir", "funcgate-data").status == 0


def test_a_spoilt_line_is_not_passed_over_in_silence(funcgate: Funcgate, folder: Path, ids: list[str]) -> None:
    (segment,) = (folder / "funcgate-data" / "journal").glob("*.jsonl")
    lines = segment.read_bytes().splitlines(keepends=True)
    lines[2] = b"{spoilt}" + b" " * (len(lines[2]) - 9) + b"\n"
    segment.chmod(0o600)
    segment.write_bytes(b"".join(lines))
    ran = funcgate("audit", "list")
    assert ran.status == 0
    assert "1 line(s) cannot be read" in ran.err


E = "\x1b]0;owned\x07"  # sets the title of the operator's terminal; others type for the operator
EVIL: dict[str, Any] = {
    "session": f"run{E}", "principal": Who(f"i{E}", f"s{E}", (f"g{E}",), f"f{E}", f"t{E}", f"a{E}"), "function": f"shop.f{E}",
    "target": f"t{E}", "digest": E, "policy": Decided((f"p{E}",), f"v{E}"), "code": f"c{E}", "detail": f"d{E}",
    "outcome": f"o{E}", "media": f"m{E}", "masked": {f"k{E}": 1}, "timing_us": {f"step{E}": 1}, "client": f"c{E}",
    "trace": f"t{E}", "reason": f"r{E}", "object": f"sha256:{E}", "args_object": f"sha256:{E}", "approval": f"a{E}",
}  # fmt: skip


async def _forge(folder: Path) -> None:
    journal = FileJournal(folder)
    await journal.start()
    for kind in (kind for kind in Kind if kind is not Kind.ADMIN):
        sealed = Sealed(content=E, content_key=E, meta=E, meta_key=E) if kind is Kind.CHUNK else None
        await journal.append(Entry(kind=kind, call="c1", sealed=sealed, **EVIL))
    changes = [
        {"what": f"w{E}", f"n{E}": f"v{E}", "problems": [E], "old": E, "by": {"user": E}},
        {"what": "hold", "order": f"id{E}", "session": f"s{E}", "reason": f"r{E}", "by": {"user": E}},
        {"what": "expired", "class": E, "before": E, "target": E, "keys": [[E, E, E]], "gone": [[1, 5]]},
    ]
    for change in changes:
        await journal.append(Entry(kind=Kind.ADMIN, call="", outcome=f"o{E}", change=change))
    await journal.close()


def test_nothing_of_a_hostile_journal_reaches_the_terminal(funcgate: Funcgate, folder: Path) -> None:
    """Attack: a journal that somebody else sends, or has written into: any text in it may be for the terminal."""
    (folder / "funcgate-data").mkdir(mode=0o700)
    asyncio.run(_forge(folder / "funcgate-data" / "journal"))
    verbs = [
        ("list",), ("list", "--scan"), ("list", "--admin"), ("show", "c1"), ("who", "*"), ("why", "c1"), ("hold", "list"),
        ("replay", f"run{E}", "--no-wait"), ("replay", f"run{E}", "--diff", f"run{E}"), ("expire", "--dry-run"), ("verify",),
    ]  # fmt: skip
    for verb in verbs:
        ran = funcgate("audit", *verb)
        assert "\x1b" not in ran.out + ran.err, verb
        assert ran.out + ran.err
