"""When files count as changed: after a change, once it has settled, until they are read."""

import os
from pathlib import Path

import pytest

from funcgate.app.watching import Watch


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "a"
    file.write_text("1")
    return file


def write(path: Path, text: str) -> None:
    """A write that is seen even on a file system with coarse times."""
    path.write_text(text)
    later = path.stat().st_mtime_ns + 1_000_000_000 * len(text)
    os.utime(path, ns=(later, later))


def test_a_change_counts_once_it_has_settled(file: Path) -> None:
    watch = Watch([file])
    assert not watch.changed()
    write(file, "22")
    assert not watch.changed()  # it may still be being written
    write(file, "333")
    assert not watch.changed()
    assert watch.changed()
    assert watch.changed()  # until somebody reads it
    watch.read()
    assert not watch.changed()


def test_a_file_that_is_replaced_removed_or_comes_back(file: Path, tmp_path: Path) -> None:
    watch = Watch([file])
    other = tmp_path / "b"
    other.write_text("1")
    os.utime(other, ns=(file.stat().st_mtime_ns,) * 2)
    os.replace(other, file)  # same size, same time: another file all the same
    assert [watch.changed(), watch.changed()] == [False, True]
    watch.read()
    file.unlink()
    assert [watch.changed(), watch.changed()] == [False, True]
    watch.read()
    file.write_text("1")
    assert [watch.changed(), watch.changed()] == [False, True]


def test_a_change_before_it_was_followed_does_not_count_and_one_after_does(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "b"
    watch = Watch([file])
    write(file, "22")
    watch.follow([file, other])  # what was known of the first stays known: its change still counts
    assert [watch.changed(), watch.changed()] == [False, True]
    watch.read()
    other.write_text("1")
    assert [watch.changed(), watch.changed()] == [False, True]
    watch.follow([file])
    assert not watch.changed()
