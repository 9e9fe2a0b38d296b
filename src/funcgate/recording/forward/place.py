"""Where a forwarder has come to, and what it had to set aside: files of its own in ``data_dir/forward/``."""

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from funcgate.recording.chore import ChoreFailed
from funcgate.recording.contents.files import make_folder, write_whole

FORMAT = 1
MAX_ASIDE_BYTES = 64 << 20


class Cursor(Struct, frozen=True, kw_only=True):
    """Done is everything up to the unit `seq`, `nth`; the next are had by reading from the line behind `low` on."""

    format: int = FORMAT
    seq: int = 0
    nth: int = -1
    low: int = 0


class Aside(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a destination does not want: where it stands in the journal, and why. Never its content, which may expire.

    `count` of those from `seq` to `last` where the destination does not say which.
    """

    seq: int
    last: int = 0
    count: int = 1
    id: str = ""
    why: str


class Place:
    """The files of one destination. Raises `ChoreFailed` when they cannot be used."""

    def __init__(self, data_dir: Path, name: str) -> None:
        self._cursor = data_dir / "forward" / f"{name}.cursor"
        self.aside = data_dir / "forward" / f"{name}.refused.jsonl"
        try:
            make_folder(self._cursor.parent)
        except OSError as error:
            raise ChoreFailed(f"{self._cursor.parent}: {error.strerror}") from None

    def load(self) -> Cursor:
        """From the beginning if there is none."""
        try:
            text = self._cursor.read_bytes()
        except FileNotFoundError:
            return Cursor()
        except OSError as error:
            raise ChoreFailed(f"{self._cursor}: {error.strerror}") from None
        try:
            cursor = msgspec.json.decode(text, type=Cursor)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            # Not from the beginning by itself: that could be years of the record, once more.
            raise ChoreFailed(f"{self._cursor} is no cursor; remove it to send everything again") from None
        if cursor.format != FORMAT:
            raise ChoreFailed(f"{self._cursor} is of another version of funcgate")
        return cursor

    def save(self, cursor: Cursor) -> None:
        try:
            write_whole(self._cursor, msgspec.json.encode(cursor), self._cursor.parent)
        except OSError as error:
            raise ChoreFailed(f"{self._cursor}: {error.strerror}") from None

    def set_aside(self, aside: Aside) -> None:
        """Durable on return."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(self.aside, flags, 0o600)
            with os.fdopen(descriptor, "ab") as file:
                if file.tell() > MAX_ASIDE_BYTES:
                    raise ChoreFailed(f"{self.aside} is full: see why so much is refused, then move it away")
                file.write(msgspec.json.encode(aside) + b"\n")
                file.flush()
                os.fsync(descriptor)
        except OSError as error:
            raise ChoreFailed(f"{self.aside}: {error.strerror}") from None
