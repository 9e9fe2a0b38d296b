"""Attack: take out what retention has named and not removed, or what only looks as if it had expired."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from funcgate.recording.contents.keystore import SHREDDED
from funcgate.recording.proof.note import NoteInvalid, open_checkpoint
from funcgate.recording.proof.oath import is_signed, known_key, signed, signer_in
from funcgate.recording.proof.verify import Verdict, verify
from support.house import House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path / "data")
    yield house
    house.close()


def look(house: House) -> Verdict:
    house.prove()
    return verify(house.data, objects=True, processes=1)


def found(house: House) -> str:
    verdict = look(house)
    assert verdict.first_bad is not None
    return verdict.first_bad.text


def held_in_time(house: House, days: int) -> None:
    """An order is given, and a hold placed before it is carried out."""
    house.call("s~1", large=True)
    house.pass_days(days)
    house.read()
    house.chore.tick()
    house.admin(what="hold", session="s~1", reason="just in time")
    house.keep()
    assert look(house).sound


def test_a_segment_that_was_withheld(house: House) -> None:
    held_in_time(house, 100)
    (house.journal / "00000001.jsonl").unlink()
    assert "are missing before" in found(house)


def test_no_order_that_comes_at_once_names_what_was_withheld(house: House) -> None:
    """Of two segments one is withheld. The next order is given before the journal's word of it was read back."""
    house.call("s~1")
    for _ in range(20):
        house.pass_days(5)  # each in segments of its own
    house.read()
    house.chore.tick()
    house.admin(what="hold", session="s~1", reason="just in time")
    for _ in range(6):
        house.pass_days(5)
    house.read()
    house.chore.tick()  # withholds, and orders what has become due meanwhile
    house.keep()
    [(_, first, last), *_] = next(one["segments"] for one in house.changes("withheld") if one["class"] == "decisions")
    before, *later = [change["gone"] for change in house.changes("expired") if change.get("segments")]
    assert any(begin <= first and last <= end for begin, end in before)
    assert later
    assert not any(begin <= last and first <= end for gone in later for begin, end in gone)


def test_content_that_was_recorded_again_after_it_had_expired(house: House) -> None:
    for _ in range(2):
        house.call("s~1", large=True, sealed=False)
        [digest] = house.objects.digests()
        house.pass_days(31)
        house.keep()
        assert list(house.objects.digests()) == []
        assert look(house).sound
    house.call("s~1", large=True, sealed=False)
    house.objects.path(digest).unlink()
    assert found(house) == f"object {digest} is missing and has not expired"


def test_keys_that_nobody_ordered_to_expire(house: House) -> None:
    house.call("s~1")
    keys = [info.name for info in house.keys.list()]
    verdict = look(house)
    assert (verdict.sound, verdict.keys, verdict.keys_expired) == (True, 2, 0)
    [path] = house.keys.folder.glob("*.jsonl")
    content = path.read_text()
    line = house.keys.line(keys[0])
    assert line is not None
    path.write_text(content.replace(line.wrapped, SHREDDED))
    assert found(house) == f"content key {keys[0]} is missing and has not expired"
    shutil.rmtree(house.keys.folder)
    assert look(house).fault_count == 2


def test_keys_that_expired_and_a_key_that_was_withheld(house: House) -> None:
    house.call("s~2")
    held_in_time(house, 31)
    verdict = look(house)
    assert verdict.keys == 4
    assert verdict.keys_expired == 1
    [kept] = [change["keys"] for change in house.changes("withheld") if "keys" in change]
    house.keys.shred(kept[0][0])
    assert found(house) == f"content key {kept[0][0]} is missing and has not expired"


def test_an_order_of_an_administrator_explains_no_outage(house: House) -> None:
    house.call("s~1")
    house.pass_days(1)
    path = house.journal / house.segments()[0]
    path.chmod(0o600)
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"something that nobody shall find\n")
    house.admin(what="export", outage={"void": {"segment": path.name, "from_byte": size}})
    assert "goes on after its last entry" in found(house) or "is damaged" in found(house)


def forged(house: House) -> dict[str, Any]:
    first = [line for line in house.lines() if line.segment == "00000001.jsonl"]
    gone = [first[0].seq, first[-1].seq]
    return {
        "what": "expired", "class": "decisions", "before": "2026-01-01T00:00:00.000000Z",
        "segments": [["00000001.jsonl", *gone]], "gone": [gone],
    }  # fmt: skip


def test_an_order_that_somebody_wrote_behind_the_last_entry(house: House) -> None:
    """While no gateway runs. The next one signs the line, as any other: but not the order, which it does not carry out."""
    house.call("s~1")
    house.pass_days(3)
    house.prove()
    house.record(forged(house))
    house.keep()
    assert house.segments()[0] == "00000001.jsonl"
    assert look(house).sound
    (house.journal / "00000001.jsonl").unlink()
    assert "are missing before" in found(house)
    assert "has not given" in look(house).notes[0]


@pytest.mark.parametrize(
    "change", [{"gone": [[1, 9]]}, {"before": ""}, {"more": 1}, {"signature": "x"}, {"signature": None}]
)
def test_a_signed_order_is_good_for_nothing_else(house: House, change: dict[str, Any]) -> None:
    house.call("s~1")
    house.prove()
    key = known_key(house.data / "proof")
    order = signed(forged(house), signer_in(house.data / "proof"))
    assert is_signed({**order, "by": {"via": "keeper"}}, key)
    assert not is_signed({**order, **change}, key)
    with pytest.raises(NoteInvalid):
        open_checkpoint(order["signature"].encode(), [key])


def test_an_order_that_was_withheld_and_is_said_once_more(house: House) -> None:
    held_in_time(house, 100)
    [order, *_] = [change for change in house.changes("expired") if change["class"] == "decisions"]
    house.record({name: value for name, value in order.items() if name != "by"})
    (house.journal / "00000001.jsonl").unlink()
    assert "are missing before" in found(house)
