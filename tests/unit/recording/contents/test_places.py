"""Folders outside of the data folder: known by their marks, and never taken for another one."""

import os
from pathlib import Path

import msgspec
import pytest

from funcgate.recording.contents import Away, ContentStore, Missing, Places
from funcgate.recording.contents.files import write_whole
from funcgate.recording.contents.places import FILE, MARK, Place, write_to


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def east(tmp_path: Path) -> Path:
    (tmp_path / "east").mkdir()
    return tmp_path / "east"


def test_a_place_is_begun_once_and_known_to_every_process(data: Path, east: Path) -> None:
    place = Places(data).begin(east)
    assert Places(data).begin(east) == place
    written = write_to(place, b"content")
    assert Places(data).store(written.where).read(written.digest) == b"content"
    assert not ContentStore(data).is_there(written.digest)
    assert (data / FILE).stat().st_mode & 0o077 == 0


def test_a_reader_that_was_there_before_finds_it(data: Path, east: Path, tmp_path: Path) -> None:
    reader = Places(data)
    assert reader.known() == {}
    for folder in (east, tmp_path):
        place = Places(data).begin(folder)
        assert reader.store(place.id).folder == folder / "objects"


def test_a_folder_that_is_not_there_is_not_made(data: Path, tmp_path: Path) -> None:
    with pytest.raises(Away, match="there is no folder"):
        Places(data).begin(tmp_path / "gone" / "east")
    assert os.listdir(tmp_path) == ["data"]
    assert os.listdir(data) == []


def test_a_mount_point_without_its_disk(data: Path, east: Path, tmp_path: Path) -> None:
    place = Places(data).begin(east)
    east.rename(tmp_path / "disk")
    for empty in (False, True):
        if empty:
            east.mkdir()
        places = Places(data)
        with pytest.raises(Away):
            places.begin(east)
        with pytest.raises(Away, match="is it mounted"):
            write_to(place, b"content")
        with pytest.raises(Away):
            places.store(place.id)
        said: list[str] = []
        assert [store.folder for store in places.stores(said.append)] == [data / "objects"]
        assert len(said) == 1
        assert not places.is_gone(f"sha256:{'0' * 64}")
    assert list(east.iterdir()) == []


def test_a_place_that_moved(data: Path, east: Path, tmp_path: Path) -> None:
    place = Places(data).begin(east)
    written = write_to(place, b"content")
    east.rename(tmp_path / "west")
    assert Places(data).begin(tmp_path / "west") == Place(place.id, str(tmp_path / "west"), begun=True)
    assert Places(data).store(written.where).read(written.digest) == b"content"


def test_the_disks_of_two_places_are_swapped(data: Path, east: Path, tmp_path: Path) -> None:
    west = tmp_path / "west"
    west.mkdir()
    places = Places(data)
    first, second = places.begin(east), places.begin(west)
    for old, new in ((east, tmp_path / "x"), (west, east), (tmp_path / "x", west)):
        old.rename(new)
    for folder in (east, west):
        with pytest.raises(Away, match="is another disk mounted there"):
            places.begin(folder)
    for place in (first, second):
        with pytest.raises(Away):
            write_to(place, b"content")


def test_a_copy_of_a_place(data: Path, east: Path, tmp_path: Path) -> None:
    Places(data).begin(east)
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / MARK).write_bytes((east / MARK).read_bytes())
    with pytest.raises(Away, match="is a copy of"):
        Places(data).begin(copy)


def test_the_place_of_another_gateway(data: Path, east: Path, tmp_path: Path) -> None:
    """Attack: two in one folder, and the retention of one deletes what the other recorded."""
    other = tmp_path / "other"
    other.mkdir()
    Places(other).begin(east)
    with pytest.raises(Away, match="belongs to another data folder"):
        Places(data).begin(east)
    assert os.listdir(data) == []


def test_a_crash_at_each_step_of_a_beginning(data: Path, east: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for written in (0, 1, 1, 0):  # before the file, then before the mark, then before the file again, twice
        left = written

        def killed(path: Path, content: bytes, beside: Path) -> None:
            nonlocal left
            if not left:
                raise KeyboardInterrupt
            left -= 1
            write_whole(path, content, beside)

        monkeypatch.setattr("funcgate.recording.contents.places.write_whole", killed)
        with pytest.raises(KeyboardInterrupt):
            Places(data).begin(east)
        monkeypatch.undo()
    place = Places(data).begin(east)
    assert len(Places(data).known()) == 1
    assert msgspec.json.decode((east / MARK).read_bytes())["id"] == place.id


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"id":7}'])
def test_what_nobody_wrote(data: Path, east: Path, content: bytes) -> None:
    (east / MARK).write_bytes(content)
    with pytest.raises(Away, match="is not what funcgate wrote"):
        Places(data).begin(east)
    (data / FILE).write_bytes(content if content != b'{"id":7}' else b'{"places":[{"id":1}]}')
    with pytest.raises(Missing, match="is not what funcgate wrote"):
        Places(data).store("x")
    assert Places(data).store("").folder == data / "objects"


def test_a_place_that_nobody_knows_any_more(data: Path, east: Path) -> None:
    place = Places(data).begin(east)
    (data / FILE).unlink()
    with pytest.raises(Missing, match="names its folder"):
        Places(data).store(place.id)
