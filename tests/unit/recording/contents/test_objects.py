"""Objects are what their name says or are told apart: missing, expired, altered. What a crash leaves is harmless."""

import hashlib
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funcgate.core.entry import Entry, Kind, encode_line
from funcgate.recording.contents import Altered, ContentStore, Expired, Missing, orphans, remove

CONTENT = b'{"large":"answer"}'
DIGEST = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    return ContentStore(tmp_path)


@settings(max_examples=25, deadline=None)
@given(st.binary(min_size=1, max_size=5000))
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    store = ContentStore(tmp_path_factory.mktemp("objects"))
    digest = store.write(data)
    assert digest == "sha256:" + hashlib.sha256(data).hexdigest()
    assert store.read(digest) == data
    assert list(store.digests()) == [digest]


def test_the_same_content_twice_is_one_file(store: ContentStore) -> None:
    assert store.write(CONTENT) == store.write(CONTENT) == DIGEST
    path = store.path(DIGEST)
    assert path.relative_to(store.folder).parts == (DIGEST[7:9], DIGEST[7:])
    assert path.stat().st_mode & 0o077 == 0
    assert os.listdir(store.unfinished) == []


@pytest.mark.parametrize("left", [b"", CONTENT[:5], CONTENT + b"more"])
def test_a_name_without_its_content_is_written_again(store: ContentStore, left: bytes) -> None:
    """As a file system leaves it that lost the content of a file and kept its name."""
    store.write(CONTENT)
    store.path(DIGEST).write_bytes(left)
    assert store.write(CONTENT) == DIGEST
    assert store.read(DIGEST) == CONTENT


@pytest.mark.parametrize("at", range(0, len(CONTENT), 3))
def test_a_flipped_bit_is_told(store: ContentStore, at: int) -> None:
    store.write(CONTENT)
    altered = bytearray(CONTENT)
    altered[at] ^= 1
    store.path(DIGEST).write_bytes(altered)
    with pytest.raises(Altered, match="was altered"):
        store.read(DIGEST)


def test_missing_and_expired_are_told_apart(store: ContentStore) -> None:
    with pytest.raises(Missing, match="is missing"):
        store.read(DIGEST)
    store.write(CONTENT)
    store.delete(DIGEST)
    store.delete(DIGEST)
    with pytest.raises(Expired, match="has expired"):
        store.read(DIGEST)
    assert list(store.digests()) == []
    store.write(CONTENT)  # another call's
    assert store.read(DIGEST) == CONTENT


def test_what_is_in_use_is_not_deleted(store: ContentStore) -> None:
    store.write(CONTENT)
    os.utime(store.path(DIGEST), (1, 1))
    store.write(CONTENT)  # a second call's; its line is on the way
    assert not store.delete(DIGEST, unused_s=60)
    assert store.read(DIGEST) == CONTENT
    os.utime(store.path(DIGEST), (1, 1))
    assert store.delete(DIGEST, unused_s=60)
    assert not store.is_there(DIGEST)


@pytest.mark.parametrize("age", [0, 100])
def test_a_deletion_that_was_cut_short_is_done_or_undone(store: ContentStore, age: int) -> None:
    store.write(CONTENT)
    aside = store.unfinished / f"{DIGEST[7:]}.leaving"
    store.path(DIGEST).rename(aside)
    os.utime(aside, (time.time() - age, time.time() - age))
    assert store.is_there(DIGEST)
    assert store.delete(DIGEST, unused_s=60) == (age > 60)
    assert list(store.digests()) == ([] if age > 60 else [DIGEST])
    assert os.listdir(store.unfinished) == []


@pytest.mark.parametrize(
    "name", ["", "sha256:", "../../etc/passwd", "sha256:../../key", DIGEST[:-1], DIGEST.upper(), "md5:00"]
)
def test_what_is_no_digest_is_never_a_path(store: ContentStore, name: str) -> None:
    store.write(CONTENT)
    for use in (store.read, store.delete, store.path):
        with pytest.raises(Altered):
            use(name)


def test_foreign_files_are_left_alone(store: ContentStore) -> None:
    store.write(CONTENT)
    (store.folder / "notes.txt").write_text("mine")
    (store.path(DIGEST).parent / "notes.txt").write_text("mine")
    assert list(store.digests()) == [DIGEST]


def test_a_disk_that_is_full_leaves_nothing_half(store: ContentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.write, []

    def short(number: int, data: Any) -> int:
        calls.append(1)
        if len(calls) > 2:
            raise OSError(28, "No space left on device")
        return real(number, bytes(data)[:3])

    monkeypatch.setattr(os, "write", short)
    with pytest.raises(OSError, match="No space"):
        store.write(CONTENT)
    monkeypatch.undo()
    assert list(store.digests()) == []
    assert os.listdir(store.unfinished) == []
    assert store.write(CONTENT) == DIGEST


@pytest.mark.parametrize("call", ["fsync", "rename", "write"])
def test_killed_at_each_step_an_object_is_whole_or_not_there(tmp_path: Path, call: str) -> None:
    """The process ends at once, as by kill -9, before or after each of its system calls."""
    script = textwrap.dedent("""
        import os, sys
        from pathlib import Path
        name, turn = sys.argv[2], int(sys.argv[3])
        real, seen = getattr(os, name), []
        def stop(*given):
            seen.append(1)
            if len(seen) == turn:
                os._exit(9)
            return real(*given)
        setattr(os, name, stop)
        from funcgate.recording.contents import ContentStore
        ContentStore(Path(sys.argv[1])).write(b'{"large":"answer"}')
    """)
    for turn in range(1, 9):
        folder = tmp_path / f"{turn}"
        folder.mkdir()
        ended = subprocess.run([sys.executable, "-c", script, str(folder), call, str(turn)], check=False)
        assert ended.returncode in (0, 9)
        store = ContentStore(folder)
        assert [store.read(digest) for digest in store.digests()] in ([], [CONTENT])
        assert store.write(CONTENT) == DIGEST
        if ended.returncode == 0:
            break
    else:
        raise AssertionError("it never came to its end")
    assert turn > 1


def test_orphans_are_listed_and_nothing_else(store: ContentStore, tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    named, args, lost, young = (store.write(b"%d" % number) for number in range(4))
    leftover = store.unfinished / f"{'0' * 16}.{'1' * 16}"
    leftover.write_bytes(b"ha")
    for path in (store.path(named), store.path(args), store.path(lost), leftover):
        os.utime(path, (1, 1))
    lines = [
        Entry(seq=1, at="2026-11-21T00:00:00Z", kind=Kind.ARRIVED, call="c", args_object=args),
        Entry(seq=2, at="2026-11-21T00:00:00Z", kind=Kind.CHUNK, call="c", object=named),
    ]
    (tmp_path / "journal" / "00000001.jsonl").write_bytes(b"".join(map(encode_line, lines)))
    assert [one.path for one in orphans(tmp_path)] == [store.path(lost), leftover]
    listed = {one.path: one for one in orphans(tmp_path, settled_s=0)}
    assert set(listed) == {store.path(lost), store.path(young), leftover}
    assert set(store.digests()) == {named, args, lost, young}


def test_content_that_is_used_again_is_no_orphan_whatever_the_clock_says(store: ContentStore, tmp_path: Path) -> None:
    """The clock jumped ahead by hours right after the gateway found the same content there, whose line is on its way."""
    (tmp_path / "journal").mkdir()
    again, lost = store.write(b"again"), store.write(b"lost")
    for digest in (again, lost):
        os.utime(store.path(digest), (1000, 1000))
    listed = {one.path: one for one in orphans(tmp_path)}
    os.utime(store.path(again), (2000, 2000))  # as `write` does, with the time of then
    assert not remove(listed[store.path(again)])
    assert store.read(again) == b"again"
    assert remove(listed[store.path(lost)])
    assert not store.is_there(lost)
