"""Orders: durable, whole or not there, and nothing but orders; what is left in the folder harms nobody."""

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from funcgate.recording import inbox
from funcgate.recording.inbox import MAX_ORDER_BYTES, BadOrder, order

HOLD = {"what": "hold", "session": "s1", "reason": "a claim"}


def test_an_order_waits_until_it_is_taken(tmp_path: Path) -> None:
    first, second = order(tmp_path, HOLD), order(tmp_path, {"what": "release", "id": "h"})
    found = [inbox.read(path) for path in inbox.waiting(tmp_path / "inbox")]
    assert [one.id for one in found] == [first, second]
    assert found[0].change == HOLD
    assert found[0].uid == os.getuid()
    assert (tmp_path / "inbox").stat().st_mode & 0o777 == 0o700
    assert found[0].path.stat().st_mode & 0o777 == 0o644
    inbox.done(found[0].path)
    inbox.done(found[0].path)  # taken twice by a crash: it is gone, and that is all
    assert [path.stem for path in inbox.waiting(tmp_path / "inbox")] == [second]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"what": "start"},
        {"what": "configuration", "new": "x"},
        {"what": "expired"},
        {"what": ["hold"]},
        {"what": "hold", "reason": "x" * MAX_ORDER_BYTES},
    ],
)
def test_what_nobody_may_order(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(BadOrder):
        order(tmp_path, change)
    assert not (tmp_path / "inbox").exists()
    (tmp_path / "inbox").mkdir()
    left = tmp_path / "inbox" / "01JD0000000000000000000000.json"
    left.write_bytes(msgspec.json.encode(change))
    left.chmod(0o600)
    with pytest.raises(BadOrder):
        inbox.read(left)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xfe", b"[]", b"null", b'"hold"', b'{"what":"hold"', b"[" * 60000, b"{}" * 9]
)
def test_rubbish_is_no_order(tmp_path: Path, data: bytes) -> None:
    left = tmp_path / "01JD0000000000000000000000.json"
    left.write_bytes(data)
    left.chmod(0o600)
    with pytest.raises(BadOrder):
        inbox.read(left)


def test_no_link_no_pipe_and_nothing_that_others_may_write(tmp_path: Path) -> None:
    names = [tmp_path / f"01JD000000000000000000000{number}.json" for number in range(4)]
    secret = tmp_path / "secret"
    secret.write_bytes(msgspec.json.encode(HOLD))
    secret.chmod(0o600)
    names[0].symlink_to(secret)
    os.mkfifo(names[1], 0o600)
    names[2].mkdir()
    names[3].write_bytes(msgspec.json.encode(HOLD))
    names[3].chmod(0o622)
    for name in names:
        with pytest.raises(BadOrder):
            inbox.read(name)


def test_there_is_an_end_to_how_many_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "MAX_WAITING", 3)
    for _ in range(3):
        order(tmp_path, HOLD)
    with pytest.raises(BadOrder, match="3 orders wait already, and no gateway takes them"):
        order(tmp_path, HOLD)


def test_no_data_folder(tmp_path: Path) -> None:
    with pytest.raises(BadOrder, match="is no data folder"):
        order(tmp_path / "nowhere", HOLD)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root orders for a gateway of another user")
def test_root_orders_and_the_gateway_s_user_can_take_it(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    order(tmp_path, HOLD)
    (path,) = inbox.waiting(tmp_path / "inbox")
    assert (tmp_path / "inbox").stat().st_uid == 12345
    assert inbox.read(path).owner == "root"


def test_what_is_set_aside_is_never_lost(tmp_path: Path) -> None:
    name = "01JD0000000000000000000000.json"
    for text in ("a", "b", "c"):
        (tmp_path / name).write_text(text)
        inbox.set_aside(tmp_path / name)
    assert sorted(path.read_text() for path in (tmp_path / "refused").iterdir()) == ["a", "b", "c"]
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".01JD0000000000000000000000.77").touch()  # one that is being written
    assert inbox.foreign(tmp_path) == [tmp_path / "notes.txt"]
    assert inbox.waiting(tmp_path) == []
