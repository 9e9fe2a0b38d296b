"""A call that comes whole and one that comes entry by entry are the same in the index, down to the words and the sets."""

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from bench.history import Cast, entries_of
from msgspec import Raw

from funcgate.core.entry import Entry, Kind, Who
from funcgate.core.ids import new_id
from funcgate.recording.filters import Filters
from funcgate.recording.folder import lines
from funcgate.recording.index.bits import appended, changed, load
from funcgate.recording.index.database import NAME
from funcgate.recording.index.indexer import Indexer
from funcgate.recording.index.texts import Texts
from support.history import T0, History, written_at

Make = Callable[[], History]
SECRET = b"s" * 32


def indexed(history: History, path: Path, size: Callable[[], int], secret: bytes = b"") -> dict[str, Any]:
    """All that the index holds when it was fed with so many lines at a time."""
    given = list(lines(history.journal))
    with closing(Indexer(path, secret=secret)) as indexer:
        while given:
            some, given = given[: (at := size())], given[at:]
            indexer.add(some)
        db = indexer.words.fts5
        db.execute("CREATE VIRTUAL TABLE temp.said USING fts5vocab('main', 'words', 'instance')")
        calls = db.execute("SELECT n, call, seq, at, keys, places FROM calls").fetchall()
        texts = {row.call: row.text for row in indexer.numbered([call[0] for call in calls])}
        sets = {(chunk, key): load(members) for chunk, key, members in db.execute("SELECT * FROM sets")}
        said = set(db.execute("SELECT term, doc FROM temp.said"))
        names = set(db.execute("SELECT * FROM names"))
        admin = db.execute("SELECT * FROM admin").fetchall()
    return {"calls": calls, "texts": texts, "sets": sets, "said": said, "names": names, "admin": admin}


@pytest.mark.slow
@pytest.mark.parametrize("secret", [b"", SECRET], ids=["clear", "keyed"])
def test_whole_or_entry_by_entry(make_history: Make, tmp_path: Path, secret: bytes) -> None:
    history, cast, dice = make_history(), Cast(), random.Random(5)
    waiting: list[list[Entry]] = []
    for number in range(300):
        waiting.append(list(entries_of(cast, number, T0 + number)))
        while len(waiting) > 5:
            one = dice.choice(waiting)
            history.write([one.pop(0)], number)
            waiting = [each for each in waiting if each]
    whole = indexed(history, tmp_path / "whole.db", lambda: 10_000, secret)
    assert len(whole["calls"]) > 280
    assert len(whole["said"]) > 10_000
    assert indexed(history, tmp_path / "single.db", lambda: 1, secret) == whole
    assert indexed(history, tmp_path / "some.db", lambda: dice.randint(1, 60), secret) == whole


def test_an_entry_that_changes_no_word_leaves_the_words_alone(make_history: Make, tmp_path: Path) -> None:
    history = make_history()
    of: dict[str, Any] = {"call": new_id(T0), "function": "shop.buy"}
    history.write([Entry(kind=Kind.ARRIVED, args=Raw(b'{"n":"once"}'), **of), Entry(kind=Kind.ALLOWED, **of)], 0)
    history.write([Entry(kind=Kind.ENDED, outcome="complete", **of), Entry(kind=Kind.ENDED, code="x.y", **of)], 1)
    given = list(lines(history.journal))
    with closing(Indexer(tmp_path / "index.db")) as indexer:
        found = []
        for some in (given[:-2], given[-2:-1], given[-1:]):
            indexer.add(some)
            words = indexer.db.execute("SELECT * FROM words_data").fetchall()
            [(keys,)] = indexer.db.execute("SELECT keys FROM calls").fetchall()
            found.append((words, len(keys)))
    assert found[0][0] == found[1][0]  # the call has ended: a fact, and no word
    assert found[0][1] < found[1][1]
    assert found[1][0] != found[2][0]  # how it ended is one


def test_a_call_that_arrives_twice_is_one_call(make_history: Make) -> None:
    history = make_history()
    who, call = Who("corp", "ada"), new_id(T0)
    of: dict[str, Any] = {"call": call, "function": "shop.buy", "principal": who, "args": Raw(b'{"n":"once"}')}
    history.write([Entry(kind=Kind.ARRIVED, **of)], 0)
    history.index()
    history.write(
        [Entry(kind=Kind.ARRIVED, **of), Entry(kind=Kind.ENDED, call=call, outcome="complete", code="x.y")], 1
    )
    history.write([Entry(kind=Kind.ARRIVED, call=new_id(T0 + 2), function="pay.send", principal=who)], 2)
    history.index()
    with history.answers() as answers:
        assert [found.id for found in answers.page(Filters(text="once")).calls] == [call]
        assert len(answers.page(Filters(principal="ada")).calls) == 2
        assert [found.id for found in answers.page(Filters(code="x.*")).calls] == [call]
        assert len(answers.page(Filters(function="pay.*")).calls) == 1
    assert (history.data_dir / NAME).exists()


@pytest.mark.slow
@pytest.mark.parametrize("secret", [b"", SECRET], ids=["clear", "keyed"])
def test_texts_are_kept_together_and_change_one_by_one(secret: bytes) -> None:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE texts (n INTEGER PRIMARY KEY, text BLOB NOT NULL)")
    texts, dice = Texts(db, secret), random.Random(3)
    kept: dict[int, bytes] = {}
    number = 1
    for _ in range(400):
        if dice.random() < 0.5:
            new = []
            for _ in range(dice.choice([1, 3, 80])):
                number += dice.choice([1, 1, 1, 2, 70])  # calls without words are between
                new.append((number, b"%d " % number * dice.choice([1, 20, 5000])))
            texts.add(new)
            kept.update(new)
        else:
            chosen = dice.sample(range(1, number + 1), min(number, dice.choice([1, 5])))
            other = {n: dice.choice([b"", b"other %d" % n]) for n in chosen}
            texts.change(other)
            kept = {n: text for n, text in {**kept, **other}.items() if text}
        some = sorted(dice.sample(range(1, number + 1), min(number, 40)))
        assert texts.read(some) == {n: kept[n] for n in some if n in kept}
    everything = list(range(1, number + 1))
    assert texts.read(everything) == kept
    texts.change(dict.fromkeys(everything, b""))
    assert db.execute("SELECT count(*) FROM texts").fetchone() == (0,)


def test_a_text_that_is_none_says_so() -> None:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE texts (n INTEGER PRIMARY KEY, text BLOB NOT NULL)")
    Texts(db, SECRET).add([(1, b"words")])
    with pytest.raises(ValueError, match="cannot be read"):
        Texts(db, b"").read([1])
    with pytest.raises(ValueError, match="cannot be read"):
        Texts(db, b"o" * 32).read([1])


@pytest.mark.parametrize("there", [0, 1, 254, 255, 256, 300])
@pytest.mark.parametrize("more", [1, 2, 300])
def test_members_that_rise_are_appended(there: int, more: int) -> None:
    held = changed(b"", range(1, 2 * there, 2))
    for first in (0, 2 * there + 1):
        new = list(range(first, first + 3 * more, 3))
        assert appended(held, new) == changed(held, new)


@pytest.mark.parametrize("size", [1, 100])
@pytest.mark.parametrize("told", [b'"principal":{}', b'"principal":{"issuer":1,"subject":[]}', b'"policy":{"names":1}'])
def test_a_principal_or_a_decision_that_is_none_stops_nothing(
    make_history: Make, tmp_path: Path, size: int, told: bytes
) -> None:
    """A worker that was taken over can say so of its calls: it is JSON."""
    history, call = make_history(), new_id(T0)
    history.write([Entry(kind=Kind.ARRIVED, call=new_id(T0 + 1), function="shop.buy")], 0)
    for kind in (b"arrived", b"denied", b"answered"):
        history.count += 1
        body = b'{"seq":%d,"at":"%b","kind":"%b","call":"%b",%b' % (
            history.count, written_at(0).encode(), kind, call.encode(), told,
        )  # fmt: skip
        with (history.journal / "00000001.jsonl").open("ab") as file:
            file.write(b'%b,"crc":"%08x"}\n' % (body, crc32(body)))
    history.write([Entry(kind=Kind.ARRIVED, call=new_id(T0 + 2), function="shop.buy")], 1)
    assert len(indexed(history, tmp_path / "index.db", lambda: size)["calls"]) == 3
