"""Reading the record: from either end, filtered, beside a writer, past what is damaged."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from funcgate.core.entry import Decided, Entry, Kind, Who, encode_line
from funcgate.core.ids import new_id
from funcgate.recording.calls import CallRecord
from funcgate.recording.folder import BLOCK_BYTES
from funcgate.recording.reader import Filters, moment, read_call, read_calls, read_entries
from funcgate.stores.journal_files import FileJournal

Make = Callable[..., FileJournal]
A, K, W, D, E = Kind.ARRIVED, Kind.ASKED, Kind.ALLOWED, Kind.DENIED, Kind.ENDED
T0 = 1_790_000_000.0
ADA, BOB = Who("corp", "ada", ("payments", "eu")), Who("corp", "bob", (), "carol")


class Story:
    """A journal with one call a second from T0 on; `ids` by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ids: dict[str, str] = {}

    def names(self, **filters: str) -> list[str]:
        back = {call: name for name, call in self.ids.items()}
        return [back[record.id] for record in read_calls(self.folder, Filters(**filters))]

    def record(self, name: str) -> CallRecord:
        record = read_call(self.folder, self.ids[name])
        assert record is not None
        return record


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    story = Story(tmp_path_factory.mktemp("story") / "journal")
    clock = T0

    def arrived(name: str, who: Who, function: str) -> Entry:
        nonlocal clock
        clock += 1
        call = story.ids[name] = new_id(clock)
        return Entry(
            kind=A, call=call, session=f"s-{who.subject}", principal=who, function=function,
            target=function.split(".")[0], args=msgspec.Raw(b'{"amount":5}'), digest="sha256:aa", client="10.0.0.1:5",
        )  # fmt: skip

    def then(name: str, kind: Kind, code: str = "", **more: object) -> Entry:
        function = "" if name == "stranger" else "some.function"
        return Entry(kind=kind, call=story.ids[name], function=function, code=code, **more)  # type: ignore[arg-type]

    async def play() -> None:
        nonlocal clock
        journal = FileJournal(story.folder, min_free_bytes=0, segment_bytes=1500, now=lambda: clock)
        await journal.start()
        allow = Decided(("small",), "v1")
        await journal.append(arrived("held", ADA, "payments.pay"), then("held", K, policy=Decided(("big",), "v1")))
        await journal.append(arrived("paid", ADA, "payments.pay"), then("paid", W, policy=allow))
        await journal.append(arrived("slow", BOB, "shop.buy"), then("slow", W, policy=allow))
        body = msgspec.Raw(b'{"ok":true}')
        await journal.append(
            then("paid", E, outcome="complete", status=201, body=body, body_bytes=11, masked={"email": 2})
        )
        clock += 1
        story.ids["stranger"] = new_id(clock)
        await journal.append(then("stranger", D, "identity.missing", client="10.0.0.9:1"))
        await journal.append(
            arrived("denied", BOB, "payments.refund"), then("denied", D, "policy.denied", detail="why")
        )
        await journal.append(then("denied", E, "policy.denied", outcome="refused"))
        clock += 1
        story.ids["unrecorded"] = new_id(clock)
        await journal.append(then("unrecorded", D, "journal.unavailable"))
        await journal.append(arrived("failed", ADA, "shop.buy"), then("failed", W, policy=allow))
        await journal.append(then("failed", D, "target.timeout"))
        await journal.append(then("failed", E, "target.timeout", outcome="refused"))
        clock += 1
        story.ids["flood"] = new_id(clock)
        await journal.append(Entry(kind=D, call=story.ids["flood"], code="identity.missing", count=70))
        await journal.append(then("slow", E, outcome="complete", status=200))
        await journal.append(
            then("held", D, "approval.expired"), then("held", E, "approval.expired", outcome="refused")
        )
        await journal.append(Entry(kind=Kind.ADMIN, call="", change={"reload": "ok"}))
        await journal.close()

    asyncio.run(play())
    assert len(list(story.folder.glob("*.jsonl"))) > 2
    return story


def at(seconds: float) -> str:
    return moment(datetime.fromtimestamp(T0 + seconds, UTC).isoformat())


ALL = ["flood", "failed", "unrecorded", "denied", "stranger", "slow", "paid", "held"]


def test_all_calls_newest_first(story: Story) -> None:
    names = story.names()
    names.remove("unrecorded")  # its arrival is missing: it comes a little later than its place
    assert names == [name for name in ALL if name != "unrecorded"]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"principal": "ada"}, {"held", "paid", "failed"}),
        ({"principal": "user:corp/ada"}, {"held", "paid", "failed"}),
        ({"principal": "group:eu"}, {"held", "paid", "failed"}),
        ({"principal": "carol"}, {"slow", "denied"}),
        ({"function": "payments.*"}, {"held", "paid", "denied"}),
        ({"function": "shop.buy"}, {"slow", "failed"}),
        ({"target": "shop"}, {"slow", "failed"}),
        ({"decision": "allow"}, {"paid", "slow", "failed"}),
        ({"decision": "deny"}, {"denied", "stranger", "flood", "unrecorded"}),
        ({"decision": "ask"}, {"held"}),
        ({"kind": "asked"}, {"held"}),
        ({"code": "identity.*"}, {"stranger", "flood"}),
        ({"code": "target.timeout"}, {"failed"}),
        ({"session": "s-bob"}, {"slow", "denied"}),
        ({"principal": "bob", "decision": "deny"}, {"denied"}),
        ({"since": at(4)}, {"stranger", "denied", "unrecorded", "failed", "flood"}),
        ({"until": at(3)}, {"held", "paid"}),
        ({"since": at(2), "until": at(4)}, {"paid", "slow"}),
        ({"since": at(1000)}, set()),
        ({"function": "pay"}, set()),
    ],
)
def test_filters(story: Story, filters: dict[str, str], names: set[str]) -> None:
    assert set(story.names(**filters)) == names


def test_the_filter_for_one_call(story: Story) -> None:
    assert story.names(call=story.ids["paid"]) == ["paid"]
    assert story.names(call=story.ids["paid"], decision="deny") == []


@pytest.mark.parametrize("filters", [{"decision": "maybe"}, {"kind": "nothing"}])
def test_a_filter_that_means_nothing_is_refused(story: Story, filters: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(filters.values()))):
        read_calls(story.folder, Filters(**filters))


def test_a_record_tells_the_whole_call(story: Story) -> None:
    paid = story.record("paid")
    assert [entry.kind for entry in paid.entries] == [A, W, E]
    assert (paid.principal, paid.function, paid.target, paid.session) == (ADA, "payments.pay", "payments", "s-ada")
    assert (paid.decision, paid.policy, paid.code) == ("allow", Decided(("small",), "v1"), "")
    assert (paid.outcome, paid.status, paid.body_bytes, paid.masked) == ("complete", 201, 11, {"email": 2})
    assert isinstance(paid.body, msgspec.Raw)
    assert (bytes(paid.body), paid.at, paid.ended_at) == (b'{"ok":true}', at(2), at(3))
    assert b'"args":{"amount":5}' in msgspec.json.encode(paid)
    held = story.record("held")
    assert (held.decision, held.code, held.outcome) == ("ask", "approval.expired", "refused")
    assert story.record("flood").count == 70
    assert story.record("denied").detail == "why"


def test_a_call_that_is_not_there(story: Story) -> None:
    assert read_call(story.folder, new_id(T0 + 2)) is None
    assert read_call(story.folder, new_id(T0 + 2000)) is None
    assert read_call(story.folder, "nonsense") is None


def test_damaged_lines_and_foreign_files_are_passed_over_and_told(story: Story, tmp_path: Path) -> None:
    whole = [entry.seq for entry in read_entries(story.folder)]
    folder = tmp_path / "journal"
    folder.mkdir()
    for path in story.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "README").write_text("mine")
    (folder / "1.jsonl").write_text("also mine\n")
    first = folder / "00000001.jsonl"
    lines = first.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1][:40] + b"\xff\xfe" + lines[1][42:]
    lines.insert(3, b"what is this\n")
    first.write_bytes(b"".join(lines))
    for newest_first in (False, True):
        damaged: list[str] = []
        seen = [entry.seq for entry in read_entries(folder, newest_first=newest_first, damaged=damaged.append)]
        assert sorted(seen) == [seq for seq in whole if seq != 2]
        assert damaged == ["00000001.jsonl"] * 2


def test_a_tail_still_being_written_is_left_for_later(story: Story, tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    folder.mkdir()
    line = encode_line(Entry(seq=1, at=at(0), kind=D, call="c1"))
    for tail in (b"", bytes(3 * BLOCK_BYTES), b'{"seq":2,"at', b'{"seq":2' + bytes(5000)):
        (folder / "00000001.jsonl").write_bytes(line + tail)
        for newest_first in (False, True):
            damaged: list[str] = []
            seen = [entry.call for entry in read_entries(folder, newest_first=newest_first, damaged=damaged.append)]
            assert (seen, damaged) == (["c1"], [])


def test_an_answer_nested_as_deep_as_it_could_be_written_can_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    folder.mkdir()
    nested = msgspec.Raw(b"[" * 980 + b"]" * 980)
    (folder / "00000001.jsonl").write_bytes(encode_line(Entry(seq=1, at=at(0), kind=E, call="c1", body=nested)))
    assert [entry.call for entry in read_entries(folder)] == ["c1"]


def test_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        list(read_calls(tmp_path / "nowhere", Filters()))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2026-11-21", "2026-11-21T00:00:00.000000Z"),
        ("2026-11-21T10:00:00+02:00", "2026-11-21T08:00:00.000000Z"),
        ("2026-11-21T10:00:00.5Z", "2026-11-21T10:00:00.500000Z"),
        ("15m", "2026-11-21T11:45:00.000000Z"),
    ],
)
def test_moments(text: str, written: str) -> None:
    assert moment(text, datetime(2026, 11, 21, 12, tzinfo=UTC)) == written


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "5 parsecs", "99999999999d"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        moment(text)
