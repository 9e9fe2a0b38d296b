"""The index as a file: kept by one, made anew when it is of no use, forgetful when it has to be."""

import base64
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from funcgate.core.entry import Decided, Entry, Kind, Who
from funcgate.core.ids import new_id
from funcgate.recording.chore import ChoreFailed
from funcgate.recording.filters import Filters
from funcgate.recording.follow import Follow
from funcgate.recording.index.asking import Answers, Unsearchable, bring_up_to_date, last_seq, position
from funcgate.recording.index.chore import IndexChore
from funcgate.recording.index.database import NAME, REBUILD, Unfit, locked
from funcgate.recording.index.forget import Forgetting
from funcgate.recording.index.indexer import Indexer
from funcgate.recording.retention.orders import Gone, Key, Order
from support.history import T0, History

Make = Callable[[], History]
ADA, BOB = Who("corp", "ada", ("payments",)), Who("corp", "bob")
SECRET = b"s" * 32


def call(number: int, who: Who = ADA, said: str = "word", **more: Any) -> list[Entry]:
    of: dict[str, Any] = {"call": new_id(T0 + number), "session": f"s-{who.subject}", "function": "shop.buy"}
    return [
        Entry(kind=Kind.ARRIVED, principal=who, target="shop", args=Raw(b'{"n":%d}' % number), client="10.0.0.7", **of, **more),
        Entry(kind=Kind.ALLOWED, policy=Decided(("small",), "v1"), **of),
        Entry(kind=Kind.CHUNK, body=f"{said} number{number}", **of),
        Entry(kind=Kind.ENDED, outcome="complete", status=200, **of),
    ]  # fmt: skip


@pytest.fixture
def history(make_history: Make) -> History:
    written = make_history()
    for number in range(40):
        written.write(call(number, ADA if number % 2 else BOB), number)
    written.index(50)
    return written


def found(history: History, secret: bytes = b"", **filters: str) -> int:
    with history.answers(secret=secret) as answers:
        return len(answers.page(Filters(**filters), 1000).calls)


def raw_bytes(history: History) -> bytes:
    with closing(sqlite3.connect(history.data_dir / NAME)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return (history.data_dir / NAME).read_bytes()


def test_pages_go_on_where_the_last_one_ended_while_calls_come_in(history: History) -> None:
    seen: list[str] = []
    cursor = ""
    for more in range(100):
        with history.answers() as answers:
            page = answers.page(Filters(principal="ada"), 3, cursor)
        seen += [record.id for record in page.calls]
        history.write(call(100 + more), 100 + more)
        history.index()
        if more == 2:
            (history.data_dir / NAME).unlink()
            history.index(11)
        cursor = page.cursor
        if not cursor:
            break
    assert len(seen) == len(set(seen)) == 20
    assert seen == sorted(seen, reverse=True)


@pytest.mark.parametrize("cursor", ["x", "MTow", "!", "MTo5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk", "MTotNQ"])
def test_a_cursor_that_no_page_gave(history: History, cursor: str) -> None:
    with history.answers() as answers, pytest.raises(ValueError, match="cursor"):
        answers.page(Filters(), 10, cursor)


@pytest.mark.parametrize(
    "text",
    ['"', '"""', "AND", "NOT", "word AND", "NEAR(word, 2)", "text:word", "word*number", "^word", "{a b}: word", "-word", "(((",
     "wor*", "'; DROP TABLE calls; --", "word\0", "\ud800 word", "w" * 70_000],
)  # fmt: skip
def test_no_text_is_a_query_language(history: History, text: str) -> None:
    with history.answers() as answers:
        try:
            answers.page(Filters(text=text), 10)
        except ValueError as error:
            assert "word" in str(error)  # noqa: PT017
        assert answers.page(Filters(text="word"), 1000).calls


@pytest.mark.parametrize("text", ["a*", "* *", "", "!?", " ".join("abcdefghijklmnopqrs")])
def test_a_text_that_would_find_all_or_nothing_is_refused(history: History, text: str) -> None:
    if text:
        with history.answers() as answers, pytest.raises(ValueError, match=r"word|letters"):
            answers.page(Filters(text=text), 10)


@pytest.mark.parametrize("net", ["10.0.0.0/33", "nonsense/8", "::/0", "0.0.0.0/0x", "2001:db8::/100"])
def test_networks_that_mean_nothing_or_too_much(history: History, net: str) -> None:
    with history.answers() as answers, pytest.raises(ValueError, match=r"network|too wide"):
        answers.page(Filters(client=net), 10)


def test_who_called(history: History) -> None:
    with history.answers() as answers:
        ada, bob = sorted(answers.callers(Filters(function="shop.*")), key=lambda caller: str(caller.who))
    assert (ada.who, ada.calls, ada.allowed, ada.denied, bob.who, bob.calls) == (ADA, 20, 20, 0, BOB, 20)
    assert ada.first < ada.last


@pytest.mark.parametrize("damage", [b"not a database at all", b"", None])
def test_an_index_of_no_use_is_made_anew(history: History, damage: bytes | None) -> None:
    path = history.data_dir / NAME
    if damage is None:
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA user_version = 99")
    else:
        for file in history.data_dir.glob(f"{NAME}*"):
            file.unlink()
        path.write_bytes(damage)
    with pytest.raises(Unfit):
        Answers(history.data_dir)
    history.index()
    assert found(history) == 40
    assert path.stat().st_mode & 0o777 == 0o600


def test_damage_that_shows_later_is_told_and_made_anew(history: History) -> None:
    data = bytearray(raw_bytes(history))
    for page in range(4096, len(data), 4096):
        data[page : page + 64] = os.urandom(64)
    (history.data_dir / NAME).write_bytes(data)
    history.write(call(50), 50)
    chore = IndexChore(history.data_dir)
    for _ in range(3):
        try:
            chore.take(Follow(history.journal, chore.position).read(history.count))
            chore.tick()
            break
        except ChoreFailed as failed:
            assert "made anew" in str(failed)  # noqa: PT017
    chore.close()
    assert found(history) == 41


def test_another_journal_in_the_same_folder_is_noticed(history: History, make_history: Make) -> None:
    other = make_history()
    for number in range(30):
        other.write(call(number, said="other"), number + 0.5)
    for segment in history.journal.iterdir():
        segment.unlink()
    for segment in other.journal.iterdir():
        (history.journal / segment.name).write_bytes(segment.read_bytes())
    history.count = other.count
    history.index()
    assert (found(history), found(history, text="other")) == (30, 30)


def test_lines_that_were_not_given_are_read_from_the_journal(history: History) -> None:
    for number in range(60, 70):
        history.write(call(number), number)
    chore = IndexChore(history.data_dir)
    chore.take(Follow(history.journal, history.count - 1).read(history.count))
    assert chore.position < history.count  # it waits for more
    chore.tick()
    chore.close()
    assert found(history) == 50
    assert chore.position == history.count


def test_one_keeps_it_and_the_others_wait_or_do_it_themselves(history: History) -> None:
    history.write(call(60), 60)
    with locked(history.data_dir):
        assert bring_up_to_date(history.data_dir) == 4
        with pytest.raises(ChoreFailed, match="another process"):
            IndexChore(history.data_dir).tick()
    assert bring_up_to_date(history.data_dir) == 0
    assert position(history.data_dir) == last_seq(history.journal) == history.count


def test_it_is_made_anew_when_asked(history: History) -> None:
    chore = IndexChore(history.data_dir)
    (history.data_dir / REBUILD).touch()
    with pytest.raises(ChoreFailed, match="anew"):
        chore.tick()
    assert chore.position == 0
    assert not (history.data_dir / REBUILD).exists()
    chore.take(Follow(history.journal).read(history.count))
    chore.tick()
    chore.close()
    assert found(history) == 40


def test_a_keyed_index_holds_nothing_readable_and_answers_all_the_same(make_history: Make) -> None:
    plain, keyed = make_history(), make_history()
    for written, secret in ((plain, b""), (keyed, SECRET)):
        written.write(call(1, said="confidential"), 1)
        written.write(call(2, BOB), 2)
        written.index(3, secret=secret)
    assert b"confidential" in raw_bytes(plain)
    bytes_of = raw_bytes(keyed)
    for secret_word in (b"confidential", b"number1", b"corp", b"10.0.0.7", b"s-ada"):
        assert secret_word not in bytes_of
    for filters, count in (({"text": "confidential"}, 1), ({"text": '"confidential number1"'}, 1), ({"principal": "bob"}, 1),
                           ({"client": "10.0.0.0/12"}, 2), ({"text": "absent"}, 0)):  # fmt: skip
        assert found(keyed, SECRET, **filters) == count
    with keyed.answers(secret=SECRET) as answers, pytest.raises(ValueError, match="whole words"):
        answers.page(Filters(text="confid*"))
    with pytest.raises(Unsearchable, match="key"):
        keyed.answers(secret=b"another")
    with pytest.raises(Unsearchable, match="keyed"):
        bring_up_to_date(keyed.data_dir)


def test_without_text(make_history: Make) -> None:
    written = make_history()
    written.write(call(1, said="confidential"), 1)
    written.index(text=False)
    assert b"confidential" not in raw_bytes(written)
    with written.answers() as answers, pytest.raises(Unsearchable, match="no text"):
        answers.page(Filters(text="confidential"))
    assert found(written, principal="ada") == 1


def forget(history: History, numbers: list[int], cls: str) -> None:
    with closing(Indexer(history.data_dir / NAME)) as indexer:
        forgetting = Forgetting(history.data_dir, indexer)
        forgetting.forget(numbers, cls)
        for _ in range(20):
            forgetting.look()
        forgetting.close()


def test_forgotten_words_are_gone_from_the_file(history: History) -> None:
    history.write(call(50, said="unforgettable"), 50)
    history.index()
    assert b"unforgettable" in raw_bytes(history)
    forget(history, [41], "content")
    assert b"unforgettable" not in raw_bytes(history)
    assert (found(history, text="unforgettable"), found(history, principal="ada")) == (0, 21)
    forget(history, [41], "metadata")
    assert (found(history, principal="ada"), found(history, session="s-ada"), found(history)) == (20, 21, 41)
    forget(history, [41], "decisions")
    assert (found(history, session="s-ada"), found(history)) == (20, 40)


def ordered(history: History, order: Order, **more: Any) -> None:
    change = {**order.change(), "by": {"via": "keeper", "chore": "retention"}, **more}
    history.write([Entry(kind=Kind.ADMIN, call="", change=change)], 900)
    history.index()
    chore = IndexChore(history.data_dir)
    for _ in range(3):
        chore.tick()
    chore.close()


def test_it_forgets_what_the_journal_said_would_go_once_it_is_gone(history: History) -> None:
    day = datetime.fromtimestamp(T0, UTC).date().isoformat()
    order = Order(what="expired", cls="content", before="", target="shop", keys=(Key("k1", "s-ada", day),))
    ordered(history, order, by={"via": "inbox", "chore": "retention"})
    assert found(history, text="word") == 40  # whoever can order did not order this
    ordered(history, order)  # there is no such key (any more)
    assert (found(history, text="word"), found(history, text="word", session="s-ada"), found(history)) == (20, 0, 40)
    gone = Order(what="expired", cls="decisions", before="", segments=(Gone("00000001.jsonl", 1, 40),))
    ordered(history, gone)
    assert found(history) == 40  # announced only
    (history.journal / "00000001.jsonl").unlink()
    ordered(history, gone)
    assert found(history) == 30


def test_sealed_entries_are_opened_before_they_are_indexed(make_history: Make) -> None:
    def opened(entry: Entry) -> Entry:
        if entry.sealed is not None:
            entry.args, entry.sealed = Raw(base64.b64decode(entry.sealed.content)), None
            entry.principal = ADA
        return entry

    from funcgate.core.entry import Sealed

    written = make_history()
    sealed = Sealed(content=base64.b64encode(b'{"said":"hidden"}').decode(), content_key="k")
    written.write([Entry(kind=Kind.ARRIVED, call=new_id(T0), function="shop.buy", target="shop", sealed=sealed)], 1)
    written.index(secret=SECRET, opened=opened)
    with written.answers(secret=SECRET, opened=opened) as answers:
        assert len(answers.page(Filters(text="hidden", principal="ada")).calls) == 1


def test_no_index_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Answers(tmp_path)
    with pytest.raises(OSError, match="journal"):
        bring_up_to_date(tmp_path)


def test_the_reserve_of_the_disk_is_not_for_a_view(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    history.write(call(99, said="late"), 99)
    new = Follow(history.journal, position(history.data_dir)).read(history.count)
    chore = IndexChore(history.data_dir, min_free_bytes=1 << 62)
    chore.take(new)
    with pytest.raises(ChoreFailed, match="less space is free"):
        chore.tick()
    assert chore.position == new[0].seq - 1
    assert found(history, text="late") == 0
    monkeypatch.setattr(chore, "_min_free_bytes", 0)
    chore.take(new)
    chore.tick()
    chore.close()
    assert found(history, text="late") == 1
