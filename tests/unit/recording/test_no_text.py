"""A line whose crc is right and whose answer is no text: it is passed over, and neither the index nor a list of calls ends."""

from pathlib import Path
from zlib import crc32

import pytest

from funcgate.recording.filters import Filters
from funcgate.recording.follow import Follow
from funcgate.recording.index.chore import IndexChore
from funcgate.recording.reader import read_calls, read_entries

LINE = b'{"seq":%d,"at":"2026-11-22T01:02:03.000004Z","kind":"arrived","call":"c%d","function":"a.b","body":%b'


def written(raw: bytes) -> bytes:
    return b'%b,"crc":"%08x"}\n' % (raw, crc32(raw))


@pytest.mark.parametrize(
    "body", [b'"\x86a"', b'"\\ud800"', b'"a\xc3"', b'{"a":"\x86"}'], ids=["byte", "half", "cut", "object"]
)
@pytest.mark.parametrize("plain", [True, False])
def test_an_answer_that_is_no_text(tmp_path: Path, body: bytes, plain: bool) -> None:
    """Attack: made anew, the index would come to the same line."""
    journal = tmp_path / "journal"
    journal.mkdir()
    bad = LINE % (2, 2, body) + (b"" if plain else b',"where":""')  # that one is left to msgspec
    lines = [LINE % (1, 1, b'"before"'), bad, LINE % (3, 3, b'"after"')]
    (journal / "00000001.jsonl").write_bytes(b"".join(map(written, lines)))
    told: list[str] = []
    calls = [entry.call for entry in read_entries(journal, damaged=told.append)]
    assert [call for call in calls if call != "c2"] == ["c1", "c3"]
    assert len(calls) + len(told) == 3
    assert len(list(read_calls(journal, Filters()))) == len(calls)
    chore = IndexChore(tmp_path)
    chore.take(Follow(journal).read(3))
    chore.tick()
    assert chore.position == 3
    chore.close()
