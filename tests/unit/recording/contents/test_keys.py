"""Content keys: durable before their first use, found by name, gone when shredded, never opened by another key."""

import asyncio
import fcntl
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from funcgate.core.refusal import Code, Refused
from funcgate.recording.contents import ContentError, KeyStore, WrongKey, keystore, rewrap
from funcgate.recording.contents.errors import Altered
from funcgate.recording.contents.keys import KeyRing
from funcgate.recording.contents.keystore import SHREDDED
from funcgate.recording.contents.wrapping import Wrapping, begin_with

NOW = 1_795_000_000.0  # 2026-11-18
DAY = "2026-11-18"
MAKER = """
import asyncio, pathlib, sys
from concurrent.futures import ThreadPoolExecutor
from funcgate.recording.contents.keys import KeyRing

async def main():
    with ThreadPoolExecutor(1) as threads:
        ring = KeyRing(pathlib.Path(sys.argv[1]), bytes.fromhex(sys.argv[2]), threads)
        for number in range(40):
            print((await ring.make(f"{sys.argv[3]}{number}", "shop")).content_name)

asyncio.run(main())
"""


def ring(folder: Path, key: bytes, work: Callable[[KeyRing], Awaitable[Any]], **options: Any) -> Any:
    """Run the work with a ring of its own."""

    async def play() -> Any:
        with ThreadPoolExecutor(2) as threads:
            return await work(KeyRing(folder, key, threads, **{"now": lambda: NOW, **options}))

    return asyncio.run(play())


def made(folder: Path, key: bytes, *places: tuple[str, str]) -> list[str]:
    """The names of the content keys of each place."""

    async def work(keys: KeyRing) -> list[str]:
        return [one.content_name for one in await asyncio.gather(*(keys.make(*place) for place in places))]

    return list(ring(folder, key, work))


def test_a_key_says_what_it_is_for_and_is_found_by_name(tmp_path: Path, key: bytes) -> None:
    names = made(tmp_path, key, ("s1", "shop"), ("s" * 3000, "bank"))
    store = KeyStore(tmp_path)
    listed = list(store.list())
    assert [(info.session, info.target, info.day, info.cls) for info in listed] == [
        ("s1", "shop", DAY, "content"), ("s1", "shop", DAY, "metadata"),
        ("s" * 3000, "bank", DAY, "content"), ("s" * 3000, "bank", DAY, "metadata"),
    ]  # fmt: skip
    assert [info.name for info in listed][::2] == names
    wrapping = Wrapping(key)
    for info in listed:
        line = store.line(info.name)
        assert line is not None
        assert line.info == info
        assert len(wrapping.unwrap(line)) == 32
    assert (store.folder / f"{DAY}.jsonl").stat().st_mode & 0o077 == 0


def test_the_key_itself_is_nowhere(tmp_path: Path, key: bytes) -> None:
    made(tmp_path, key, ("s1", "shop"))
    for path in (tmp_path / "keys").iterdir():
        data = path.read_bytes()
        assert key not in data
        assert key.hex().encode() not in data
    assert key.hex() not in repr(Wrapping(key))


@pytest.mark.parametrize("member", ["name", "session", "target", "day", "cls"])
def test_a_wrapped_key_fits_no_other_place(tmp_path: Path, key: bytes, member: str) -> None:
    (name,) = made(tmp_path, key, ("s1", "shop"))
    line = KeyStore(tmp_path).line(name)
    assert line is not None
    fields = {one: getattr(line, one) for one in line.__struct_fields__} | {member: "other"}
    with pytest.raises(Altered):
        Wrapping(key).unwrap(type(line)(**fields))


def test_a_shredded_key_is_gone_and_nothing_else(tmp_path: Path, key: bytes) -> None:
    first, second, third = made(tmp_path, key, ("a", "shop"), ("b", "shop"), ("c", "shop"))
    store = KeyStore(tmp_path)
    line = store.line(second)
    assert line is not None
    path = store.folder / f"{DAY}.jsonl"
    size = path.stat().st_size
    assert (store.shred(second), store.shred(second)) == (True, False)
    assert line.wrapped.encode() not in path.read_bytes()
    assert path.stat().st_size == size
    after = store.line(second)
    assert after is not None
    assert after.wrapped == SHREDDED
    assert second not in [info.name for info in store.list()]
    assert len(list(store.list())) == 5
    for name in (first, third):
        kept = store.line(name)
        assert kept is not None
        Wrapping(key).unwrap(kept)


@pytest.mark.parametrize("name", ["", "x", "0" * 20, "f" * 20, "../../etc/passwd", "5098" + "0" * 9 + "1" + "0" * 6])
def test_a_name_of_no_key(tmp_path: Path, key: bytes, name: str) -> None:
    made(tmp_path, key, ("a", "shop"))
    store = KeyStore(tmp_path)
    assert store.line(name) is None
    assert store.shred(name) is False


def test_keys_are_used_again_until_the_day_ends_or_they_are_worn(tmp_path: Path, key: bytes) -> None:
    now = [NOW]

    async def work(keys: KeyRing) -> None:
        assert keys.find("s", "shop") is None
        first = await keys.make("s", "shop")
        assert keys.find("s", "shop") is first
        assert keys.find("s", "other") is None
        first.used = 100
        assert keys.find("s", "shop") is None
        second = await keys.make("s", "shop")
        assert second is not first
        now[0] += 86400
        assert keys.find("s", "shop") is None
        await keys.make("s", "shop")

    ring(tmp_path, key, work, max_uses=100, now=lambda: now[0])
    assert KeyStore(tmp_path).days() == [DAY, "2026-11-19"]
    assert len(list(KeyStore(tmp_path).list())) == 6


def test_the_cache_is_bounded_and_keeps_what_is_used(tmp_path: Path, key: bytes) -> None:
    async def work(keys: KeyRing) -> list[bool]:
        for session in "abc":
            await keys.make(session, "shop")
        keys.find("a", "shop")
        await keys.make("d", "shop")
        return [keys.find(session, "shop") is not None for session in "abcd"]

    assert ring(tmp_path, key, work, max_cached=3) == [True, False, True, True]


def test_a_thousand_sessions_at_once_take_few_writes(
    tmp_path: Path, key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (syncs.append(number), real(number)))

    async def work(keys: KeyRing) -> None:
        await asyncio.gather(*(keys.make(f"s{number}", "shop") for number in range(1000)))

    ring(tmp_path, key, work)
    assert len(list(KeyStore(tmp_path).list())) == 2000
    assert len(syncs) < 20


def test_a_disk_that_fails_refuses_and_recovers(tmp_path: Path, key: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def broken(number: int) -> None:
        raise OSError(5, "Input/output error")

    async def work(keys: KeyRing) -> str:
        await keys.make("before", "shop")
        monkeypatch.setattr(os, "fsync", broken)
        with pytest.raises(Refused) as refused:
            await keys.make("s", "shop")
        assert refused.value.code is Code.JOURNAL_UNAVAILABLE
        assert keys.find("s", "shop") is None
        monkeypatch.setattr(os, "fsync", real)
        return (await keys.make("s", "shop")).content_name

    name = ring(tmp_path, key, work)
    line = KeyStore(tmp_path).line(name)
    assert line is not None
    Wrapping(key).unwrap(line)


def test_several_processes_make_keys_at_the_same_time(tmp_path: Path, key: bytes) -> None:
    """Each key is found under its name: no process wrote where another one's line was to be."""
    children = [
        subprocess.Popen([sys.executable, "-c", MAKER, str(tmp_path), key.hex(), which], stdout=subprocess.PIPE)
        for which in "abc"
    ]
    names = [name for child in children for name in child.communicate(timeout=60)[0].decode().split()]
    assert [child.returncode for child in children] == [0, 0, 0]
    store, wrapping = KeyStore(tmp_path), Wrapping(key)
    assert len(set(names)) == 3 * 40
    for name in names:
        line = store.line(name)
        assert line is not None, name
        wrapping.unwrap(line)
    assert len(list(store.list())) == 2 * 3 * 40


def test_a_process_that_holds_the_file_for_long_is_not_waited_for(
    tmp_path: Path, key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path, key, ("a", "shop"))
    monkeypatch.setattr(keystore, "TURN_S", 0.05)

    async def work(keys: KeyRing) -> None:
        with pytest.raises(Refused) as refused:
            await keys.make("b", "shop")
        assert refused.value.code is Code.JOURNAL_UNAVAILABLE

    with (tmp_path / "keys" / "lock").open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        ring(tmp_path, key, work)
    assert len(made(tmp_path, key, ("c", "shop"))) == 1


@pytest.mark.parametrize("torn", [0.01, 0.2, 0.9, 0.999])
def test_a_torn_line_is_cut_off_and_the_next_key_is_found(tmp_path: Path, key: bytes, torn: float) -> None:
    made(tmp_path, key, ("a", "shop"))
    path = tmp_path / "keys" / f"{DAY}.jsonl"
    whole = path.read_bytes()
    line = whole.splitlines()[0]
    path.write_bytes(whole + line[: int(len(line) * torn) + 1])
    (name,) = made(tmp_path, key, ("b", "shop"))
    assert KeyStore(tmp_path).line(name) is not None
    assert path.read_bytes().startswith(whole)
    assert len(list(KeyStore(tmp_path).list())) == 4


def test_another_key_is_refused_before_anything_is_written(tmp_path: Path, key: bytes) -> None:
    made(tmp_path, key, ("a", "shop"))
    before = {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()}

    async def work(keys: KeyRing) -> None:
        with pytest.raises(WrongKey, match=r"journal\.encryption\.key is not the key"):
            keys.check()

    ring(tmp_path, b"x" * 32, work)
    assert {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()} == before


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_a_key_has_32_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Wrapping(b"k" * size)


def test_keys_are_wrapped_anew(tmp_path: Path, key: bytes) -> None:
    names = made(tmp_path, key, ("a", "shop"), ("b", "shop"))
    (tmp_path / "journal").mkdir()
    store, new = KeyStore(tmp_path), b"n" * 32
    opened = [Wrapping(key).unwrap(line) for line in store.lines(DAY)]
    store.shred(names[0])
    assert rewrap(tmp_path, key, new) == 3
    after = KeyStore(tmp_path)
    assert [Wrapping(new).unwrap(line) for line in after.lines(DAY) if line.wrapped != SHREDDED] == opened[1:]
    line = after.line(names[1])
    assert line is not None  # where its name says
    with pytest.raises(Altered):
        Wrapping(key).unwrap(line)
    with pytest.raises(WrongKey):
        begin_with(tmp_path, Wrapping(key))
    begin_with(tmp_path, Wrapping(new))
    assert rewrap(tmp_path, key, new) == 3  # again: nothing is left to do
    with pytest.raises(WrongKey):
        rewrap(tmp_path, b"z" * 32, b"y" * 32)


@pytest.mark.parametrize("turn", range(1, 6))
def test_wrapping_anew_goes_on_where_it_was_broken_off(
    tmp_path: Path, key: bytes, turn: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [NOW]

    async def work(keys: KeyRing) -> None:
        for _ in range(3):
            await keys.make("a", "shop")
            now[0] += 86400

    ring(tmp_path, key, work, now=lambda: now[0])
    (tmp_path / "journal").mkdir()
    real, seen = os.rename, []

    def stop(*given: Any) -> None:
        seen.append(1)
        if len(seen) == turn:
            raise KeyboardInterrupt
        real(*given)

    monkeypatch.setattr(os, "rename", stop)
    new = b"n" * 32
    try:
        rewrap(tmp_path, key, new)
        assert turn == 5
    except KeyboardInterrupt:
        assert turn < 5
    monkeypatch.undo()
    assert rewrap(tmp_path, key, new) == 6
    store = KeyStore(tmp_path)
    for info in store.list():
        line = store.line(info.name)
        assert line is not None
        Wrapping(new).unwrap(line)


def test_wrapping_anew_never_runs_beside_a_gateway(tmp_path: Path, key: bytes) -> None:
    from funcgate.stores.journal_files import FileJournal

    async def play() -> None:
        journal = FileJournal(tmp_path / "journal", min_free_bytes=0)
        await journal.start()
        with pytest.raises(ContentError, match="a gateway is using"):
            rewrap(tmp_path, key, b"n" * 32)
        await journal.close()

    asyncio.run(play())


def test_a_key_outlives_its_end_in_no_copy(tmp_path: Path, key: bytes) -> None:
    """Wrapping anew is killed before its file takes the place of the old one: the keys are in both."""
    (tmp_path / "journal").mkdir()
    names = made(tmp_path, key, ("s1", "shop"))
    store = KeyStore(tmp_path)
    before = store.line(names[0])
    assert before is not None
    [path] = store.folder.glob("*.jsonl")
    copy = path.with_name(f"{path.name}.{'0' * 16}")
    copy.write_bytes(path.read_bytes())
    store.shred(names[0])
    for left in store.folder.iterdir():
        assert before.wrapped.encode() not in left.read_bytes()
    copy.write_text("of another run")
    rewrap(tmp_path, key, b"n" * 32)
    assert not copy.exists()


def test_wrapping_anew_never_runs_beside_a_keeper(tmp_path: Path, key: bytes) -> None:
    (tmp_path / "journal").mkdir()
    made(tmp_path, key, ("s1", "shop"))
    with (tmp_path / "keeper.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ContentError, match="stop it"):
            rewrap(tmp_path, key, b"n" * 32)
    assert rewrap(tmp_path, key, b"n" * 32) == 2
