"""`funcgate audit rekey`: from one configured key to the next."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from funcgate.core.entry import Entry, Kind
from funcgate.recording.contents import Contents, KeyStore, Opener, WrongKey
from funcgate.recording.inbox import read, waiting
from funcgate.recording.reader import read_entries
from funcgate.stores.journal_files import FileJournal

Funcgate = Callable[..., Any]
OLD, NEW = bytes(range(32)), b"n" * 32


@pytest.fixture
def data(folder: Path, configuration: dict[str, Any]) -> Path:
    """A gateway's data folder with one sealed entry; the configuration names the new key already."""
    (folder / "old.key").write_text(OLD.hex())
    (folder / "new.key").write_text(NEW.hex())
    for name in ("old.key", "new.key"):
        (folder / name).chmod(0o600)
    settings = configuration | {"data_dir": "data", "journal": {"encryption": {"key": "file:new.key"}}}
    (folder / "funcgate.yaml").write_text(json.dumps(settings, indent=1))

    async def play() -> None:
        journal = FileJournal(folder / "data" / "journal", min_free_bytes=0)
        contents = Contents(journal, folder / "data", key=OLD)
        await journal.start()
        await contents.append(Entry(kind=Kind.ARRIVED, call="c1", target="shop", args=Raw(b'{"n":1}')))
        await contents.close()
        await journal.close()

    asyncio.run(play())
    return folder / "data"


def test_from_one_key_to_the_next(funcgate: Funcgate, data: Path) -> None:
    entry = next(entry for entry in read_entries(data / "journal") if entry.call)
    with pytest.raises(WrongKey, match="funcgate audit rekey"):
        Opener(data, NEW)
    ran = funcgate("audit", "rekey", "--from", "file:old.key")
    assert (ran.status, ran.err) == (0, "")
    assert "2 content keys" in ran.out
    assert bytes(Opener(data, NEW).open(entry).args or b"") == b'{"n":1}'
    (order,) = [read(path).change for path in waiting(data / "inbox")]
    assert order == {"what": "rekey", "keys": 2}
    assert funcgate("audit", "rekey", "--from", "file:old.key", "--json").json == {"keys": 2, "state": False}


def test_content_that_cannot_be_shown_is_told(funcgate: Funcgate, folder: Path, data: Path) -> None:
    ran = funcgate("audit", "show", "c1", "--scan", "--data-dir", str(data), "--config", "none.yaml")
    assert (ran.status, "no journal.encryption.key" in ran.err) == (0, True)
    (folder / "new.key").write_text(OLD.hex())
    ran = funcgate("audit", "show", "c1", "--scan")
    assert (ran.err, '{"n":1}' in ran.out) == ("", True)
    for info in KeyStore(data).list():
        KeyStore(data).shred(info.name)
    ran = funcgate("audit", "show", "c1", "--scan")
    assert (ran.status, "content is not shown, expired" in ran.err, '{"n":1}' in ran.out) == (0, True, False)
    (data / "keys" / "check").write_text(64 * "0")
    ran = funcgate("audit", "show", "c1", "--scan")
    assert (ran.status, "is not the key" in ran.err) == (1, True)


@pytest.mark.parametrize(
    ("place", "status", "said"),
    [
        ("file:new.key", 1, "is not the key"),
        ("file:none.key", 2, "cannot be read"),
        ("env:NO_SUCH_KEY", 2, "is not set"),
        (OLD.hex(), 2, "never the secret itself"),
    ],
)
def test_a_key_that_is_not_the_old_one_changes_nothing(
    funcgate: Funcgate, data: Path, place: str, status: int, said: str
) -> None:
    before = {path.name: path.read_bytes() for path in (data / "keys").iterdir()}
    ran = funcgate("audit", "rekey", "--from", place)
    assert (ran.status, ran.out) == (status, "")
    assert said in ran.err
    assert OLD.hex() not in ran.err
    assert {path.name: path.read_bytes() for path in (data / "keys").iterdir()} == before


def test_a_configuration_without_a_key(funcgate: Funcgate, folder: Path, configuration: dict[str, Any]) -> None:
    (folder / "funcgate.yaml").write_text(json.dumps(configuration, indent=1))
    ran = funcgate("audit", "rekey", "--from", "env:X")
    assert ran.status == 2
    assert "names no journal.encryption.key" in ran.err
