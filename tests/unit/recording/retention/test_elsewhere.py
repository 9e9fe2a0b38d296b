"""Content in a folder of its own expires there; while the folder is away it is kept, and never taken for expired."""

import os
from pathlib import Path

import pytest

from funcgate.recording.contents import ContentStore, Places, orphans
from funcgate.recording.contents.opener import Opener
from funcgate.recording.contents.places import MARK
from funcgate.recording.proof.verify import verify
from funcgate.recording.retention import carrying
from funcgate.recording.retention.outlook import outlook
from support.house import KEY, House
from support.leased import leased


@pytest.fixture
def east(tmp_path: Path) -> Path:
    (tmp_path / "east").mkdir()
    return tmp_path / "east"


def digests(house: House) -> list[str]:
    return [digest for store in Places(house.data).stores() for digest in store.digests()]


@pytest.mark.parametrize("sealed", [True, False])
def test_it_expires_there_and_the_record_still_verifies(house: House, east: Path, sealed: bool) -> None:
    call = house.call("s~1", folder=east, sealed=sealed)
    house.keep()
    assert (house.body(call), len(digests(house))) == ("the answer", 2)
    assert list(orphans(house.data, settled_s=0)) == []
    assert verify(house.data, objects=True, processes=1).faults == []
    house.pass_days(31)
    house.keep()
    assert (house.body(call), digests(house)) == ("(expired)", [])
    verdict = verify(house.data, objects=True, processes=1)
    assert (verdict.faults, verdict.objects_expired) == ([], 2)


def test_a_hold_keeps_it(house: House, east: Path) -> None:
    call = house.call("s~1", folder=east)
    house.admin(what="hold", session="s~1", reason="dispute")
    house.pass_days(31)
    house.keep()
    assert house.body(call) == "the answer"


@pytest.mark.parametrize("sealed", [True, False])
def test_while_its_folder_is_away_it_is_kept(house: House, east: Path, tmp_path: Path, sealed: bool) -> None:
    house.call("s~1", folder=east, sealed=sealed)
    east.rename(tmp_path / "away")
    east.mkdir()
    house.pass_days(31)
    house.keep()
    assert [change for change in house.changes("expired") if change.get("objects")] == []
    kept = outlook(house.data, house.rules, Opener(house.data, KEY), house.now).kept
    assert {one.why.partition(" ")[0] for one in kept} == {str(east)}
    faults = verify(house.data, objects=True, processes=1).faults
    assert len(faults) == 2
    assert all("cannot be looked at" in fault.text for fault in faults)
    east.rmdir()
    (tmp_path / "away").rename(east)
    house.keep()
    assert digests(house) == []
    assert verify(house.data, objects=True, processes=1).faults == []


def test_it_goes_away_between_the_order_and_the_deed(house: House, east: Path, tmp_path: Path) -> None:
    house.call("s~1", folder=east)
    house.pass_days(31)
    house.read()
    house.chore.tick()
    east.rename(tmp_path / "away")
    house.keep()
    assert [change["counts"] for change in house.changes("withheld")] == [{"objects": 2}]
    (tmp_path / "away").rename(east)
    house.keep()
    assert digests(house) == []
    assert verify(house.data, objects=True, processes=1).faults == []


def test_what_is_missing_there_without_an_order_is_told(house: House, east: Path) -> None:
    house.call("s~1", folder=east)
    house.prove()
    (path,) = list((east / "objects").rglob("[0-9a-f]" * 64))[:1]
    path.unlink()
    (fault,) = verify(house.data, objects=True, processes=1).faults
    assert f"is missing and has not expired (in {east}/objects)" in fault.text
    house.objects.write(b"x")
    other = next(iter((east / "objects").rglob("[0-9a-f]" * 64)))
    other.write_bytes(b"something else")
    texts = [fault.text for fault in verify(house.data, objects=True, processes=1).faults]
    assert any("is altered" in text and str(east) in text for text in texts)


@pytest.mark.parametrize("trouble", ["expired", "unfinished"])
def test_a_folder_that_cannot_be_written_keeps_nothing_else_from_expiring(
    house: House, east: Path, trouble: str
) -> None:
    """A disk that fails, or somebody who wants to keep what others recorded."""
    there, here = house.call("s~1", folder=east, sealed=False), house.call("s~2")
    house.keep()
    if trouble == "expired":
        (east / "objects" / "expired").mkdir()
    else:
        (east / "objects" / "unfinished" / ("0" * 16 + "." + "1" * 16)).mkdir(parents=True)
        os.utime(east / "objects" / "unfinished" / ("0" * 16 + "." + "1" * 16), (1e9, 1e9))
    house.pass_days(31)
    house.keep()
    assert house.body(here) == "(expired)"
    assert (house.body(there) == "(expired)") is (trouble == "unfinished")
    assert verify(house.data, objects=True, processes=1).faults == []
    if trouble == "expired":
        (east / "objects" / "expired").rmdir()
        house.pass_days(1)
        house.keep()
        assert house.body(there) == "(expired)"
        assert verify(house.data, objects=True, processes=1).faults == []


def test_a_folder_that_does_not_answer_keeps_nothing_else_from_expiring(
    house: House, east: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "ANSWER_S", 0.2)
    there, here = house.call("s~1", folder=east, sealed=False), house.call("s~2")
    house.keep()
    house.pass_days(31)
    with leased(east / MARK):
        house.keep()
        assert house.body(here) == "(expired)"
        assert len(digests_in(east)) == 2
    assert house.body(there) == "the answer"
    house.pass_days(1)
    house.keep()
    assert (house.body(there), digests_in(east)) == ("(expired)", [])


def digests_in(folder: Path) -> list[str]:
    return list(ContentStore(folder).digests())
