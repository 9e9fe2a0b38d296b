"""Whoever else may write into a folder of content does no harm with it: no hang, no write elsewhere, no memory taken."""

import os
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from funcgate.recording.contents import Away, ContentError, ContentStore, Missing, Places, orphans
from funcgate.recording.contents.errors import Altered
from funcgate.recording.contents.places import MARK, write_to
from funcgate.recording.proof.named import check_named
from support.leased import leased

LONG_AGO = (1_000_000_000, 1_000_000_000)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def east(tmp_path: Path) -> Path:
    (tmp_path / "east").mkdir()
    return tmp_path / "east"


def ended(work: Callable[[], Any]) -> Any:
    """What the work comes to, or the exception; fails if it hangs."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(work())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(10)
    assert found, "it hangs"
    return found[0]


@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "link to the mark", "folder"])
def test_a_mark_that_is_no_file(data: Path, east: Path, tmp_path: Path, kind: str) -> None:
    place = Places(data).begin(east)
    mark = east / MARK
    mark.rename(tmp_path / "mark")
    if kind == "folder":
        mark.mkdir()
    elif kind == "link to the mark":
        mark.symlink_to(tmp_path / "mark")
    else:
        pipe = mark if kind == "pipe" else tmp_path / "pipe"
        os.mkfifo(pipe)
        if pipe != mark:
            mark.symlink_to(pipe)
    for work in (lambda: Places(data).store(place.id), lambda: write_to(place, b"x"), lambda: Places(data).begin(east)):
        assert isinstance(ended(work), Away)


def test_an_object_that_is_a_pipe(data: Path, east: Path) -> None:
    place = Places(data).begin(east)
    digest = write_to(place, b"content").digest
    store = Places(data).store(place.id)
    store.path(digest).unlink()
    os.mkfifo(store.path(digest))
    assert isinstance(ended(lambda: store.read(digest)), ContentError)
    (wrong,) = ended(lambda: check_named(data, [f"{digest}@{place.id}"]))
    assert (wrong.what, "no file" in wrong.why) == ("away", True)


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_the_list_of_what_expired_is_written_to_nothing_else(data: Path, east: Path, kind: str) -> None:
    """Attack: a link to the journal, and expiry writes into it."""
    place = Places(data).begin(east)
    store = Places(data).store(place.id)
    digest = write_to(place, b"content").digest
    victim = data / "journal.jsonl"
    victim.write_bytes(b"a line\n")
    if kind == "pipe":
        os.mkfifo(store.folder / "expired")
    else:
        (store.folder / "expired").symlink_to(victim)
    assert isinstance(ended(lambda: store.delete(digest)), OSError)
    assert victim.read_bytes() == b"a line\n"
    assert store.is_there(digest)
    victim.write_bytes(f"{digest}\n".encode())
    for path in (store.path(digest), store.unfinished / f"{digest.removeprefix('sha256:')}.leaving"):
        path.unlink(missing_ok=True)
    found = ended(lambda: store.read(digest))
    assert isinstance(found, Missing)
    assert "has not expired" in str(found)


def test_an_object_that_is_huge(tmp_path: Path) -> None:
    store = ContentStore(tmp_path)
    digest = store.write(b"content")
    os.truncate(store.path(digest), 512 << 20)
    (store.folder / "expired").touch()
    os.truncate(store.folder / "expired", 512 << 20)
    gone = "sha256:" + "0" * 64
    tracemalloc.start()
    try:
        with pytest.raises(Altered):
            store.read(digest)
        with pytest.raises(Missing):
            store.read(gone)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_what_is_no_file_is_no_orphan(data: Path, east: Path) -> None:
    Places(data).begin(east)
    place = Places(data).begin(east)
    store = Places(data).store(place.id)
    write_to(place, b"content")
    for name in ("0" * 16 + "." + "1" * 16, "2" * 64 + ".leaving"):
        (store.unfinished / name).mkdir()
        os.utime(store.unfinished / name, LONG_AGO)
    (store.folder / "33").mkdir()
    os.mkfifo(store.folder / "33" / ("3" * 64))
    os.utime(store.folder / "33" / ("3" * 64), LONG_AGO)
    (data / "journal").mkdir()
    assert list(orphans(data)) == []
    store.tidy(3600.0)


def test_a_folder_that_does_not_answer_holds_up_no_other(data: Path, east: Path, tmp_path: Path) -> None:
    """Two folders of one gateway: each begins by itself."""
    west = tmp_path / "west"
    west.mkdir()
    places = Places(data)
    places.begin(east)
    with leased(east / MARK):
        waiting = threading.Thread(target=lambda: places.begin(east), daemon=True)
        waiting.start()
        assert ended(lambda: places.begin(west)).folder == str(west)
        assert waiting.is_alive()
    waiting.join(20)
    assert {place.folder for place in Places(data).known().values()} == {str(east), str(west)}
