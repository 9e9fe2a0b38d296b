"""The content keys at rest: one line for each, wrapped, in a file for each UTC day. Blocking: never on the event loop.

It never sees a key in the clear. A name says where its line is, so that one key among millions is found by one read.
"""

import base64
import errno
import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from .files import make_folder, sync_folder, write_all

WRAPPED_CHARS = 80  # base64 of nonce (12), key (32) and tag (16)
SHREDDED = "A" * WRAPPED_CHARS
MAX_LINE = 64 << 10
MAX_OPEN_FILES = 16
TURN_S = 10.0  # for which a process waits for another one that appends just now
_NAME = re.compile(r"([0-9a-f]{4})([0-9a-f]{10})[0-9a-f]{6}")
_EPOCH = date(1970, 1, 1)
_DAY = re.compile(r"(\d{4}-\d\d-\d\d)\.jsonl")
_COPY = re.compile(r"\d{4}-\d\d-\d\d\.jsonl\.[0-9a-f]{16}")  # as `files.write_whole` names it


class KeyInfo(Struct, frozen=True, kw_only=True):
    """What a content key is for. `cls` is ``content`` or ``metadata``, `day` a UTC date; `name` tells nothing."""

    name: str
    session: str
    target: str
    day: str
    cls: str


class KeyLine(Struct, frozen=True, kw_only=True, rename={"cls": "class"}):
    """One line of a day's file. `wrapped` comes last and has a fixed length: it can be overwritten in its place."""

    name: str
    session: str
    target: str
    day: str
    cls: str
    wrapped: str

    @property
    def info(self) -> KeyInfo:
        return KeyInfo(name=self.name, session=self.session, target=self.target, day=self.day, cls=self.cls)


class _Place(NamedTuple):
    day: str
    offset: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(KeyLine).decode


class KeyStore:
    """``data_dir/keys/YYYY-MM-DD.jsonl``. The gateway's processes append, one at a time (`DayFile.alone`); any may read and
    shred. Not for several threads at once."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir / "keys"
        self._files: dict[str, int] = {}

    def list(self) -> Iterator[KeyInfo]:
        """The keys that are there, oldest day first. Raises `OSError`."""
        for day in self.days():
            for line in self.lines(day):
                if line.wrapped != SHREDDED:
                    yield line.info

    def shred(self, name: str) -> bool:
        """Overwrite the key where it is, durably: whatever was sealed with it is gone. False if it was gone already.

        Only for keys of past days: the gateway goes on using the keys of its day. Raises `OSError`.
        """
        self.forget_copies()
        line, place = self.line(name), _place(name)
        if line is None or place is None or line.wrapped == SHREDDED:
            return False
        at = place.offset + len(encode_key(line)) - len('"}\n') - WRAPPED_CHARS
        number = os.open(self._path(place.day), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(number, SHREDDED.encode(), at)
            os.fsync(number)
        finally:
            os.close(number)
        return True

    def forget_copies(self) -> None:
        """Remove what was to take a day's place when its writer was killed: a key must not outlive its end there."""
        for name in os.listdir(self.folder) if self.folder.is_dir() else ():
            if _COPY.fullmatch(name):
                (self.folder / name).unlink(missing_ok=True)

    def line(self, name: str) -> KeyLine | None:
        """The key's line, also a shredded one; None if there is none. Raises `OSError`."""
        place = _place(name)
        number = None if place is None else self._file(place.day)
        if place is None or number is None:
            return None
        line = read_key(os.pread(number, 1024, place.offset)) or read_key(os.pread(number, MAX_LINE, place.offset))
        return line if line is not None and line.name == name else None

    def lines(self, day: str) -> Iterator[KeyLine]:
        """The lines of one day; what is none is passed over. Raises `OSError`."""
        with self._path(day).open("rb") as file:
            while raw := file.readline(MAX_LINE):
                if (line := read_key(raw)) is not None:
                    yield line

    def days(self) -> Sequence[str]:
        if not self.folder.is_dir():
            return ()
        return sorted(found[1] for name in os.listdir(self.folder) if (found := _DAY.fullmatch(name)))

    def close(self) -> None:
        for number in self._files.values():
            os.close(number)
        self._files.clear()

    def _file(self, day: str) -> int | None:
        """The day's file, kept open: what is shredded meanwhile is seen all the same."""
        number = self._files.get(day)
        if number is None:
            try:
                number = os.open(self._path(day), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
            if len(self._files) >= MAX_OPEN_FILES:
                os.close(self._files.pop(next(iter(self._files))))
            self._files[day] = number
        return number

    def _path(self, day: str) -> Path:
        return self.folder / f"{day}.jsonl"


class DayFile:
    """The file that keys of one day are appended to. `add` names keys; `write` makes the named ones durable. Where other
    processes append to it, both within `alone`."""

    def __init__(self, folder: Path, day: str) -> None:
        self._path = folder / f"{day}.jsonl"
        self.day = day
        self._end = -1  # of what is durable; below 0: look first
        self._new = bytearray()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other process appends meanwhile. Raises `OSError` when it is not one's turn in `TURN_S` seconds.

        A process that is killed leaves the lock, and of its line what `add` cuts off: nobody had its key yet.
        """
        make_folder(self._path.parent)
        number = os.open(self._path.parent / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _lock(number, time.monotonic() + TURN_S)
            if self._end >= 0 and self._end != _length(self._path):
                self._end = -1  # others wrote: look again
            yield
        finally:
            os.close(number)

    def add(self, session: str, target: str, cls: str) -> KeyInfo:
        """A name for a new key, whose line must be given to `put` next. Raises `OSError`."""
        if self._end < 0:
            self._end = self._mend()
        days = (date.fromisoformat(self.day) - _EPOCH).days
        name = f"{days:04x}{self._end + len(self._new):010x}{secrets.token_hex(3)}"
        return KeyInfo(name=name, session=session, target=target, day=self.day, cls=cls)

    def put(self, info: KeyInfo, wrapped: bytes) -> None:
        self._new += encode_key(line_of(info, wrapped))

    def write(self) -> None:
        """Raises `OSError`; then none of the keys may be used, and the next attempt begins where this one did."""
        new, self._new = bytes(self._new), bytearray()
        end, self._end = self._end, -1
        number = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            if os.fstat(number).st_size != end:  # the names say where the lines are
                raise OSError(errno.EBUSY, "somebody else writes to the file of content keys")
            write_all(number, new)
            os.fsync(number)
        finally:
            os.close(number)
        self._end = end + len(new)

    def _mend(self) -> int:
        """Make the file if it is not there, and cut off what a crash or a full disk left of a line. Returns its length."""
        if not self._path.exists():
            make_folder(self._path.parent)
            os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            sync_folder(self._path.parent)
            return 0
        with self._path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - MAX_LINE))
            tail = file.read()
            whole = size - len(tail) + tail.rfind(b"\n") + 1
            if whole < size:
                file.truncate(whole)
                os.fsync(file.fileno())
        return whole


def _lock(number: int, until: float) -> None:
    while True:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                raise OSError(errno.EBUSY, "another process holds the file of content keys") from None
            time.sleep(0.001)


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def line_of(info: KeyInfo, wrapped: bytes) -> KeyLine:
    text = base64.b64encode(wrapped).decode()
    return KeyLine(
        name=info.name, session=info.session, target=info.target, day=info.day, cls=info.cls, wrapped=text
    )  # fmt: skip


def encode_key(line: KeyLine) -> bytes:
    """The line, newline included."""
    return _encode(line) + b"\n"


def read_key(raw: bytes) -> KeyLine | None:
    """The key whose line the bytes begin with, None if it is no whole line."""
    raw, newline, _ = raw.partition(b"\n")
    try:
        line = _decode(raw) if newline else None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return line if line is not None and len(line.wrapped) == WRAPPED_CHARS else None


def _place(name: str) -> _Place | None:
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    return _Place((_EPOCH + timedelta(days=int(found[1], 16))).isoformat(), int(found[2], 16))
