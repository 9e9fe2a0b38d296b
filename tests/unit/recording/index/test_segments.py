"""Segments of the words' index made in compiled code: byte for byte what FTS5 writes, and nothing it cannot go on with."""

import random
import sqlite3
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

from funcgate.recording.index import segments
from funcgate.recording.index.database import connect, create, transaction
from funcgate.recording.index.segments import Words

NATIVE = segments._native
pytestmark = pytest.mark.skipif(NATIVE is None, reason="not built, or FUNCGATE_PURE is set")
Rows = list[tuple[int, str, str]]


def by_fts5(rows: Rows, page_bytes: int, held: Rows = []) -> sqlite3.Connection:  # noqa: B006
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute("CREATE VIRTUAL TABLE words USING fts5 (text, content = '', columnsize = 0, tokenize = 'ascii')")
    db.execute("INSERT INTO words (words, rank) VALUES ('pgsz', ?)", (page_bytes,))
    db.execute("INSERT INTO words (words, rank) VALUES ('hashsize', 100000000)")
    for some in filter(None, (held, rows)):
        with transaction(db):
            for n, was, now in some:
                if was:
                    db.execute("INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)", (n, was))
                if now:
                    db.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (n, now))
    return db


def pages_of(db: sqlite3.Connection, segment: int) -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes, int]]]:
    low = segment << 37
    data = db.execute(
        "SELECT id, block FROM words_data WHERE id BETWEEN ? AND ? ORDER BY id", (low, low + (1 << 37) - 1)
    )
    index = db.execute("SELECT segid, CAST(term AS BLOB), pgno FROM words_idx WHERE segid = ? ORDER BY 2", (segment,))
    return data.fetchall(), index.fetchall()


def text_of(dice: random.Random, vocabulary: list[str], most: int) -> str:
    return " ".join(dice.choice(vocabulary) + dice.choice(["", "", ",", " - "]) for _ in range(dice.randrange(1, most)))


def vocabulary_of(dice: random.Random) -> list[str]:
    sizes = [1, 2, 3, 8, 16, 60, dice.randrange(1, 300)]
    count = dice.choice([2, 10, 300, 3000])
    return ["".join(dice.choice("abcdeABC019éß") for _ in range(dice.choice(sizes))) for _ in range(count)]


@pytest.mark.parametrize("seed", range(24))
def test_new_calls_are_written_as_fts5_writes_them(seed: int) -> None:
    dice = random.Random(seed)
    vocabulary, n, rows = vocabulary_of(dice), dice.randrange(1 << dice.randrange(1, 40)), []
    for _ in range(dice.choice([1, 5, 100, 1500])):
        n += dice.choice([1, 1, 1, 2, 1000])
        rows.append((n, "", text_of(dice, vocabulary, 3000 if dice.random() < 0.02 else 60)))
    rows.append((n + 1, "", "x" * 40_000 + " after it"))  # longer than FTS5 keeps of a word
    page_bytes = dice.choice([1000, 4050, 16000])
    postings = NATIVE.Postings()
    for row in rows:
        postings.add(*row)
    with closing(by_fts5(rows, page_bytes)) as db:
        data, index, _ = postings.written(1, page_bytes)
        assert (sorted(data), sorted(index)) == pages_of(db, 1)


@pytest.mark.parametrize("seed", range(12))
def test_words_are_taken_out_as_fts5_does(seed: int) -> None:
    dice = random.Random(seed)
    vocabulary = vocabulary_of(dice)
    held = [(n, "", text_of(dice, vocabulary, 60)) for n in range(1, 200)]
    some = dice.sample(held, 1 if seed % 2 else 50)  # FTS5 begins a new segment where numbers fall
    rows = [(n, was, text_of(dice, vocabulary, 60) if seed % 2 else "") for n, _, was in sorted(some)]
    postings = NATIVE.Postings()
    for row in rows:
        postings.add(*row)
    with closing(by_fts5(rows, 500, held)) as db:
        data, index, _ = postings.written(2, 500)
        assert (sorted(data), sorted(index)) == pages_of(db, 2)


def test_the_same_words_whoever_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "_UNIT", 1)
    found = []
    for native in (NATIVE, None):
        monkeypatch.setattr(segments, "_native", native)
        path = tmp_path / f"{native is None}.db"
        with closing(create(path, "", text=True)) as db, closing(Words(db, path)) as words:
            assert (words.fts5 is db) == (native is None)
            dice, held = random.Random(3), dict[int, str]()
            vocabulary = [f"w{n}" for n in range(200)]
            for batch in range(40):
                altered = []
                for n in sorted(dice.sample(sorted(held), min(len(held), 20))):
                    now = dice.choice(["", text_of(dice, vocabulary, 300), held[n]])
                    altered += [(n, held[n], now)] if held[n] != now else []
                fresh = [(100 * batch + at, text_of(dice, vocabulary, 300)) for at in range(1, 50)]
                with transaction(db):
                    words.put(altered, fresh)
                words.merge()
                held.update({n: now for n, _, now in altered} | dict(fresh))
            words.fts5.execute("INSERT INTO words (words) VALUES ('integrity-check')")
            words.fts5.execute("CREATE VIRTUAL TABLE temp.v USING fts5vocab('main', 'words', 'instance')")
            instances = set(words.fts5.execute("SELECT term, doc, offset FROM temp.v"))
            query = "SELECT rowid FROM words WHERE words MATCH ? ORDER BY rowid DESC"
            asked = [words.fts5.execute(query, (text,)).fetchall() for text in ('"w1 w2"', "w1 AND w2", "w19*")]
            averages = db.execute("SELECT block FROM words_data WHERE id = 1").fetchone()
            merged = [len(some) for _, some in segments._levels(words._blob(10)) or []]
        assert sum(merged) < 40
        found.append((instances, asked, averages))
    assert found[0] == found[1]
    assert len(found[0][0]) > 50_000


def test_a_batch_that_is_large_is_several_segments(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    with closing(create(path, "", text=True)) as db, closing(Words(db, path)) as words:
        with transaction(db):
            words.put([], ((n, f"all word{n} " * 5000) for n in range(1, 1801)))
        assert len((segments._levels(words._blob(10)) or [])[0][1]) > 1
        query = "SELECT count(*) FROM words WHERE words MATCH 'all'"
        assert words.fts5.execute(query).fetchone() == (1800,)


def test_what_is_not_of_the_known_form_is_left_to_fts5(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    with closing(create(path, "", text=True)) as db:
        structure = db.execute("SELECT block FROM words_data WHERE id = 10").fetchone()[0]
        assert segments._levels(structure) == []
        many = structure[:4] + segments._varints([50_000, 0, 0]) + bytes(100_000)  # levels, which FTS5 never has
        longer = structure[:4] + b"\xff\0\0\1" + structure[4:]
        for spoilt in (b"", structure[:-1], structure + b"\1", longer, many, "text", None, 1 << 50):
            assert not isinstance(spoilt, bytes) or segments._levels(spoilt) is None
            db.execute("UPDATE words_data SET block = ? WHERE id = 10", (spoilt,))
            with closing(Words(db, path)) as words:
                assert words.fts5 is db
        db.execute("UPDATE words_data SET block = ? WHERE id = 10", (structure,))
        for size, fits in ((16000, True), (1 << 30, False), (-5, False), ("x", False), (40_000, False)):
            db.execute("UPDATE words_config SET v = ? WHERE k = 'pgsz'", (size,))
            with closing(Words(db, path)) as words:
                assert bool(words._page_bytes) == fits


def test_words_that_are_chosen_to_collide_cost_no_more() -> None:
    """Attack: arguments whose words all lie in one corner of the table, so that the keeper is busy with nothing else."""

    def slot(word: str) -> int:
        value = 0x9E3779B97F4A7C15
        for byte in word.encode():
            value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1
        return (value ^ value >> 32) & 4095

    some = (f"w{n}" for n in range(1_000_000))
    chosen = list(islice((word for word in some if slot(word) < 128), 1500))
    postings = NATIVE.Postings()
    postings.add(1, "", " ".join(chosen))
    assert postings.steps < 2 * len(chosen)


def test_merging_is_due_whoever_wrote_the_segments(tmp_path: Path) -> None:
    """Attack: a keeper that is ended again and again before it merges."""
    path = tmp_path / "index.db"
    create(path, "", text=True).close()
    for n in range(1, 2 * segments._UNIT):
        with closing(connect(path, writing=True)) as db, closing(Words(db, path)) as words:
            with transaction(db):
                words.put([], [(n, "a b c")])
            words.merge()
            levels = segments._levels(words._blob(10)) or []
            assert sum(len(some) for _, some in levels) <= segments._UNIT
    with closing(connect(path, writing=False)) as db:
        query = "SELECT count(*) FROM words WHERE words MATCH 'a'"
        assert db.execute(query).fetchone() == (2 * segments._UNIT - 1,)


def test_a_word_of_more_pages_than_can_be_told_is_a_value_error(tmp_path: Path) -> None:
    """What the chore makes the index anew for: this one's pages are so small that it would fail on it for ever."""
    postings = NATIVE.Postings()
    for n in range(1, 200):
        postings.add(n, "", "all " * 100)
    with pytest.raises(ValueError, match="more pages than one list"):
        postings.written(1, 64)


def test_numbers_as_they_are_kept() -> None:
    numbers = [0, 1, 127, 128, 16383, 16384, 1 << 40]
    assert segments._numbers(segments._varints(numbers)) == numbers


def test_calls_that_do_not_rise_are_refused() -> None:
    postings = NATIVE.Postings()
    postings.add(5, "", "a")
    for n in (5, 4, 0, -1, 1 << 60):
        with pytest.raises(ValueError, match="do not rise"):
            postings.add(n, "", "a")
