"""`funcgate audit list|who|why|show|reindex` with an index: the same answers as without one, only sooner."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from funcgate.core.entry import Decided, Entry, Kind, Who
from funcgate.core.ids import new_id
from funcgate.recording.index.database import NAME, locked
from support.history import T0, History

Funcgate = Callable[..., Any]
ADA, BOB, EVE = (
    Who("corp", "ada", ("payments",)),
    Who("corp", "bob\x1b[2J", ("finance",)),
    Who("corp", "eve", ("ci",), "zoe"),
)


class Story(History):
    """Four calls and a stranger; `ids` in the order of their arrival."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self.ids = [new_id(T0 + number) for number in range(5)]
        paid, held, denied, stranger, late = self.ids
        for number, entries in enumerate([
            [*self.arrived(paid, ADA, 250), Entry(kind=Kind.ALLOWED, call=paid, policy=Decided(("small",), "v1")),
             Entry(kind=Kind.CHUNK, call=paid, body=Raw(b'{"receipt":"blue whale"}')),
             Entry(kind=Kind.ENDED, call=paid, outcome="complete", status=200)],
            [*self.arrived(held, ADA, 25_000), Entry(kind=Kind.ASKED, call=held, policy=Decided(("big",), "v1")),
             Entry(kind=Kind.ANSWERED, call=held, principal=BOB, outcome="yes", detail="seen the invoice"),
             Entry(kind=Kind.ALLOWED, call=held, policy=Decided(("big",), "v1")),
             Entry(kind=Kind.ENDED, call=held, outcome="complete", status=201)],
            [*self.arrived(denied, EVE, 1), Entry(kind=Kind.DENIED, call=denied, code="policy.denied", detail="no policy"),
             Entry(kind=Kind.ENDED, call=denied, outcome="refused", code="policy.denied")],
            [Entry(kind=Kind.DENIED, call=stranger, code="identity.missing", client="203.0.113.9")],
            self.arrived(late, EVE, 2),
        ]):  # fmt: skip
            for entry in entries:
                entry.function = "" if entry.call == stranger else "shop.pay"
            self.write(entries, number)

    def arrived(self, call: str, who: Who, amount: int) -> list[Entry]:
        of: dict[str, Any] = {
            "call": call,
            "function": "shop.pay",
            "target": "shop",
            "session": f"run-{who.subject[:3]}",
        }
        return [Entry(kind=Kind.ARRIVED, principal=who, args=Raw(b'{"amount":%d}' % amount), client="10.0.0.7", **of)]


@pytest.fixture
def story(folder: Path) -> Story:
    return Story(folder / "funcgate-data")


@pytest.fixture
def indexed(story: Story, funcgate: Funcgate) -> Story:
    assert funcgate("audit", "reindex").status == 0
    return story


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (("--principal", "ada"), [1, 0]),
        (("--principal", "zoe", "--decision", "deny"), [2]),
        (("--group", "payments"), [1, 0]),
        (("--policy", "big"), [1]),
        (("--client", "10.0.0.0/24"), [4, 2, 1, 0]),
        (("--client", "203.0.113.9"), [3]),
        (("--approver", "bob\x1b[2J"), [1]),
        (("--text", "blue whale"), [0]),
        (("--text", '"whale blue"'), []),
        (("--text", "wha*", "--function", "shop.*"), [0]),
        (("--code", "identity.*"), [3]),
        (("--decision", "none"), [4]),
    ],
)
def test_with_and_without_the_index(
    funcgate: Funcgate, indexed: Story, options: tuple[str, ...], wanted: list[int]
) -> None:
    found = funcgate("audit", "list", *options, "--json")
    assert found.err == ""
    assert [record["id"] for record in found.json] == [indexed.ids[number] for number in wanted]
    scanned = funcgate("audit", "list", *options, "--scan", "--json")
    assert scanned.json == found.json
    (indexed.data_dir / NAME).unlink()
    assert funcgate("audit", "list", *options, "--json").json == found.json


def test_pages(funcgate: Funcgate, indexed: Story) -> None:
    first = funcgate("audit", "list", "-n", "2", "--json")
    cursor = first.err.split("--cursor ")[1].strip()
    rest = funcgate("audit", "list", "--cursor", cursor, "--json")
    assert [record["id"] for record in first.json + rest.json] == indexed.ids[::-1]
    assert rest.err == ""
    for bad in ("nonsense", "MTow"):
        assert funcgate("audit", "list", "--cursor", bad).status == 2
    assert funcgate("audit", "list", "--cursor", cursor, "--scan").status == 2


def test_calls_that_came_since_are_indexed_first(funcgate: Funcgate, indexed: Story) -> None:
    call = new_id(T0 + 60)
    indexed.write(indexed.arrived(call, BOB, 7), 60)
    assert [record["id"] for record in funcgate("audit", "list", "--group", "finance", "--json").json] == [call]
    indexed.write(indexed.arrived(new_id(T0 + 61), BOB, 7), 61)
    with locked(indexed.data_dir):
        ran = funcgate("audit", "list", "--group", "finance", "--json")
    assert len(ran.json) == 1
    assert "1 line(s) behind" in ran.err


def test_who(funcgate: Funcgate, indexed: Story) -> None:
    callers = funcgate("audit", "who", "shop.*", "--json").json
    assert [(one["who"]["subject"], one["calls"]) for one in callers] == [("ada", 2), ("eve", 2)]
    assert (callers[1]["denied"], callers[0]["allowed"], callers[0]["held"]) == (1, 1, 1)
    assert funcgate("audit", "who", "shop.*", "--scan", "--json").json == callers
    ran = funcgate("audit", "who", "*")
    assert "nobody identified" in ran.out
    assert "corp/eve for zoe" in ran.out


def test_why(funcgate: Funcgate, indexed: Story) -> None:
    why = funcgate("audit", "why", indexed.ids[1], "--json").json
    assert (why["authorised"], why["policies"], why["asked_by"], why["version"]) == (True, ["big"], ["big"], "v1")
    assert [(one["who"], one["outcome"], one["reason"]) for one in why["approvals"]] == [
        ("corp/bob\x1b[2J", "yes", "seen the invoice")
    ]
    said = funcgate("audit", "why", indexed.ids[1]).out
    assert "seen the invoice" in said
    assert "\x1b" not in said
    said = funcgate("audit", "why", indexed.ids[2]).out
    assert "policy.denied (no policy)" in said
    assert funcgate("audit", "why", new_id()).status == 1


def test_show_by_the_index(funcgate: Funcgate, indexed: Story) -> None:
    shown = funcgate("audit", "show", indexed.ids[0], "--json").json
    assert shown == funcgate("audit", "show", indexed.ids[0], "--scan", "--json").json
    assert shown["args"] == {"amount": 250}
    assert "blue whale" in funcgate("audit", "show", indexed.ids[0]).out


@pytest.mark.parametrize("by", ["configuration", "option"])
def test_an_index_without_words(funcgate: Funcgate, folder: Path, story: Story, by: str) -> None:
    if by == "configuration":
        (folder / "funcgate.yaml").write_text("data_dir: ./funcgate-data\nindex: {text: false}\n")
    assert funcgate("audit", "reindex", *(["--no-text"] if by == "option" else [])).status == 0
    assert all(b"whale" not in file.read_bytes() for file in story.data_dir.glob(f"{NAME}*"))
    ran = funcgate("audit", "list", "--text", "whale", "--json")
    assert [record["id"] for record in ran.json] == [story.ids[0]]
    assert "reading the journal instead" in ran.err


def test_changes_by_the_index(funcgate: Funcgate, indexed: Story) -> None:
    for number in (70, 71, 72):
        indexed.write([Entry(kind=Kind.ADMIN, call="", change={"what": "reload", "new": str(number)})], number)
    found = funcgate("audit", "list", "--admin", "-n", "2", "--json")
    assert [entry["change"]["new"] for entry in found.json] == ["72", "71"]
    assert found.json == funcgate("audit", "list", "--admin", "-n", "2", "--scan", "--json").json
    until = found.json[1]["at"]
    assert [
        entry["change"]["new"] for entry in funcgate("audit", "list", "--admin", "--until", until, "--json").json
    ] == ["70"]


def test_what_of_a_call_cannot_be_shown_is_said(funcgate: Funcgate, indexed: Story) -> None:
    call = new_id(T0 + 80)
    indexed.write([Entry(kind=Kind.DENIED, call=call, code="policy.denied", object="sha256:" + "0" * 64)], 80)
    ran = funcgate("audit", "show", call)
    assert ran.status == 0
    assert "is missing" in ran.err


def test_an_index_of_no_use_hides_nothing(funcgate: Funcgate, indexed: Story) -> None:
    for file in indexed.data_dir.glob(f"{NAME}*"):
        file.write_bytes(b"rubbish")
    assert len(funcgate("audit", "list", "--json").json) == 5
    assert funcgate("audit", "reindex", "--json").json["lines"] == indexed.count
    assert len(funcgate("audit", "list", "--json").json) == 5


def test_a_spoilt_line_is_told(funcgate: Funcgate, indexed: Story) -> None:
    (segment,) = indexed.journal.iterdir()
    segment.write_bytes(
        segment.read_bytes().replace(b"blue whale", b"grey whale").replace(b'"kind":"ended"', b'"kind":"edned"', 1)
    )
    ran = funcgate("audit", "list", "--session", "run-ada")
    assert ran.status == 0
    assert "cannot be read (00000001.jsonl)" in ran.err
    assert funcgate("audit", "list", "--text", "blue", "--json").json == []  # only what the journal says counts
