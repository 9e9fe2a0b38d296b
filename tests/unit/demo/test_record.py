"""The demo tells what the journal says, whole and in order, and nothing that it does not say."""

import threading
from pathlib import Path

import pytest

from funcgate.core.entry import Decided, Entry, Kind, Who, encode_line
from funcgate.demo import record
from funcgate.demo.record import Told, read_journal, told_of

AGENT = Who("dev", "payments-agent", ("payments-agents",))


def entry(kind: Kind, call: str = "C1", **fields: object) -> Entry:
    return Entry(kind=kind, call=call, **fields)  # type: ignore[arg-type]


ALLOWED = (
    entry(Kind.ARRIVED, principal=AGENT, function="payments.getCustomer"),
    entry(Kind.ALLOWED, policy=Decided(("agents read",), "sha256:1")),
    entry(Kind.ENDED, policy=Decided(("agents read",), "sha256:1"), outcome="complete", masked={"email": 2}),
)
HELD = (
    entry(Kind.ARRIVED, principal=AGENT, function="payments.createTransfer"),
    entry(Kind.ASKED, policy=Decided(("big transfers",), "sha256:1")),
    entry(Kind.DENIED, code="approval.pending", policy=Decided(("big transfers",), "sha256:1")),
    entry(Kind.ENDED, outcome="refused", code="approval.pending"),
)
STRANGER = (entry(Kind.DENIED, code="identity.missing", detail="no token"),)


@pytest.mark.parametrize(
    ("entries", "decided", "who", "why", "code"),
    [
        (ALLOWED, "allowed", "payments-agent (payments-agents)", "policy 'agents read'", ""),
        (HELD, "held", "payments-agent (payments-agents)", "policy 'big transfers'", "approval.pending"),
        (STRANGER, "denied", "", "no token", "identity.missing"),
        ((), "", "", "", ""),
    ],
)
def test_what_is_told_of_a_call(entries: tuple[Entry, ...], decided: str, who: str, why: str, code: str) -> None:
    told = Told(entries)
    assert (told.decided, told.who, told.why, told.code) == (decided, who, why, code)
    assert told.closed == bool(entries)


def test_a_call_is_open_until_its_end_is_there() -> None:
    assert not Told(ALLOWED[:2]).closed
    assert not Told(HELD[:3]).closed
    assert Told(ALLOWED).masked == "email 2"


def test_segments_are_read_in_order_and_a_line_that_is_being_written_is_left(tmp_path: Path) -> None:
    (tmp_path / "00000002.jsonl").write_bytes(encode_line(ALLOWED[1]) + encode_line(ALLOWED[2])[:-5])
    (tmp_path / "00000001.jsonl").write_bytes(encode_line(ALLOWED[0]))
    assert [one.kind for one in read_journal(tmp_path)] == [Kind.ARRIVED, Kind.ALLOWED]


def test_it_waits_for_entries_that_are_written_behind(tmp_path: Path) -> None:
    segment = tmp_path / "00000001.jsonl"
    segment.write_bytes(b"".join(encode_line(one) for one in ALLOWED[:2]))

    def end() -> None:
        with segment.open("ab") as file:
            file.write(encode_line(ALLOWED[2]))

    later = threading.Timer(0.1, end)
    later.start()
    told = told_of(tmp_path, ["C1"])
    later.join()
    assert [one.kind for one in told["C1"].entries] == [Kind.ARRIVED, Kind.ALLOWED, Kind.ENDED]


def test_a_call_that_is_never_closed_is_told_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "DEADLINE_S", 0.05)
    (tmp_path / "00000001.jsonl").write_bytes(encode_line(ALLOWED[0]))
    told = told_of(tmp_path, ["C1", "C2"])
    assert (len(told["C1"].entries), told["C1"].closed, told["C2"].entries) == (1, False, ())
