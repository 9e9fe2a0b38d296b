"""A new configured key in place of the old one: every content key is wrapped anew, nothing that was sealed is touched.

It does not run beside a gateway or its keeper. Broken off, it can be run again with the same two keys, and goes on.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import Altered, ContentError
from .files import write_whole
from .keystore import SHREDDED, KeyLine, KeyStore, encode_key, line_of, read_key
from .wrapping import Wrapping, check_key, is_known, write_check


def rewrap(data_dir: Path, old: bytes, new: bytes) -> int:
    """Wrap the content keys under `new` (32 bytes each). Returns how many.

    Raises `WrongKey` when `old` is not the key in use, `Altered` for a key that neither opens, `ContentError` beside a running
    gateway, `OSError`. Each day's file is then the old one or the new one, whole.
    """
    before, after = Wrapping(old), Wrapping(new)
    store, count = KeyStore(data_dir), 0
    with _alone(data_dir):
        if not is_known(data_dir, after):  # else an earlier run came to its end
            check_key(data_dir, before)
        store.forget_copies()
        for day in store.days():
            path = store.folder / f"{day}.jsonl"
            lines = [_rewrapped(raw, before, after) for raw in path.read_bytes().splitlines(keepends=True)]
            write_whole(path, b"".join(lines), store.folder)
            count += sum(1 for line in map(read_key, lines) if line is not None and line.wrapped != SHREDDED)
        write_check(data_dir, after)
    return count


def _rewrapped(raw: bytes, before: Wrapping, after: Wrapping) -> bytes:
    """The line under the new key: as long as the old one, for the keys' names say where their lines are."""
    line = read_key(raw)
    if line is None or line.wrapped == SHREDDED:
        return raw
    try:
        after.unwrap(line)
    except Altered:
        return encode_key(_under(line, before, after))
    return raw


def _under(line: KeyLine, before: Wrapping, after: Wrapping) -> KeyLine:
    return line_of(line.info, after.wrap(line.info, before.unwrap(line)))


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """Hold the locks of the journal and of the keeper, as a gateway does."""
    folder = data_dir / "journal"
    if not folder.is_dir():
        raise ContentError(f"{folder} is not there: this is not the data folder of a gateway")
    # What a keeper that still ends shreds now would come back with a file that was read before.
    with _held(folder / "lock", data_dir), _held(data_dir / "keeper.lock", data_dir):
        yield


@contextmanager
def _held(lock: Path, data_dir: Path) -> Iterator[None]:
    number = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ContentError(f"a gateway is using {data_dir}: stop it, then wrap the keys anew") from None
        yield
    finally:
        os.close(number)
