"""The demo tells what the journal says, whole and in order, and nothing that it does not say."""

import threading
from pathlib import Path

import pytest
from msgspec import structs

from funcgate.core.entry import Decided, Entry, Kind, Who, encode_line
from funcgate.demo import record
from funcgate.demo.record import Told, told_of

AGENT = Who("dev", "payments-agent", ("payments-agents",))


def entry(kind: Kind, **fields: object) -> Entry:
    return Entry(kind=kind, call="C1", **fields)  # type: ignore[arg-type]


def line(number: int, entry: Entry) -> bytes:
    return encode_line(structs.replace(entry, seq=number, at=f"2026-11-21T09:30:00.{number:06}Z"))


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
DENIED = (
    entry(Kind.ARRIVED, principal=AGENT, function="payments.refund"),
    entry(Kind.DENIED, code="policy.denied", policy=Decided(("no", "never")), detail="the policies 'no', 'never' deny"),
    entry(Kind.ENDED, outcome="refused", code="policy.denied"),
)
STRANGER = (entry(Kind.DENIED, code="identity.missing", detail="no token"),)


@pytest.mark.parametrize(
    ("entries", "decided", "who", "why", "code"),
    [
        (ALLOWED, "allowed", "payments-agent (payments-agents)", "policy 'agents read'", ""),
        (HELD, "held", "payments-agent (payments-agents)", "policy 'big transfers'", "approval.pending"),
        (DENIED, "denied", "payments-agent (payments-agents)", "the policies 'no', 'never' deny", "policy.denied"),
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


def test_it_waits_for_entries_that_are_written_behind(tmp_path: Path) -> None:
    segment = tmp_path / "00000001.jsonl"
    segment.write_bytes(line(1, ALLOWED[0]) + line(2, ALLOWED[1]))

    def end() -> None:
        with segment.open("ab") as file:
            file.write(line(3, ALLOWED[2]))

    later = threading.Timer(0.1, end)
    later.start()
    told = told_of(tmp_path, ["C1"])
    later.join()
    assert [one.kind for one in told["C1"].entries] == [Kind.ARRIVED, Kind.ALLOWED, Kind.ENDED]


def test_a_call_that_is_never_closed_is_told_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "DEADLINE_S", 0.05)
    (tmp_path / "00000001.jsonl").write_bytes(line(1, ALLOWED[0]))
    told = told_of(tmp_path, ["C1", "C2"])
    assert (len(told["C1"].entries), told["C1"].closed, told["C2"].entries) == (1, False, ())
