"""The index's file: opened, found fit, made anew. It knows tables, and nothing of what is in them."""

import contextlib
import fcntl
import hashlib
import os
import sqlite3
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from funcgate.recording.folder import Line

NAME = "index.db"
LOCK = "index.lock"
REBUILD = "index.rebuild"  # its being there asks whoever keeps the index to make it anew
VERSION = 2  # of the tables, and of how facts and words become keys: another one is rebuilt
_APPLICATION = 0x66676978
BUSY_S = 10.0
_PAGE_BYTES = 16384  # of a new index; one that is there keeps its own
_CHECKPOINT_BYTES = 16 << 20


WORDS = """
CREATE VIRTUAL TABLE words USING fts5 (text, content = '', columnsize = 0, tokenize = 'ascii');
INSERT INTO words (words, rank) VALUES ('usermerge', 2);
INSERT INTO words (words, rank) VALUES ('automerge', 8);
INSERT INTO words (words, rank) VALUES ('pgsz', 16000);  -- bytes of a leaf, so that it fits into a page
INSERT INTO words (words, rank) VALUES ('hashsize', 16777216);  -- bytes of memory, so that a batch is written once
"""

_TABLES = f"""
{WORDS}CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE calls (
    n INTEGER PRIMARY KEY,        -- in the order of arrival: the number that sets, texts and words go by
    call TEXT NOT NULL UNIQUE,
    seq INTEGER NOT NULL,         -- of its first line
    at INTEGER NOT NULL,          -- of its first line; Unix time, microseconds
    keys BLOB NOT NULL,           -- 8 bytes each
    places BLOB NOT NULL          -- segment and byte of each of its lines, as MessagePack
);
CREATE TABLE sets (chunk INTEGER NOT NULL, key INTEGER NOT NULL, members BLOB NOT NULL, PRIMARY KEY (chunk, key)) WITHOUT ROWID;
CREATE TABLE names (key INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE admin (
    seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, what TEXT NOT NULL, who TEXT NOT NULL, change BLOB NOT NULL, place BLOB NOT NULL
);
CREATE TABLE texts (n INTEGER PRIMARY KEY, text BLOB NOT NULL);  -- of some calls from n on; to take words back out
CREATE TABLE due (seq INTEGER PRIMARY KEY, change BLOB NOT NULL);  -- expiry that the journal announced, not seen done yet
"""


class Mark(NamedTuple):
    """The last line that an index holds, and where it was: by that, another journal is told from this one."""

    seq: int = 0
    segment: str = ""
    offset: int = 0
    digest: bytes = b""


_pack, _unpack = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(Mark).decode


class Unfit(Exception):
    """The file is not an index that this program can read: of another version, damaged, or keyed by another secret."""


class Locked(Exception):
    """Another process keeps the index up to date."""


def connect(path: Path, *, writing: bool) -> sqlite3.Connection:
    """The index that is there. Raises `FileNotFoundError` and `Unfit`."""
    if not path.exists():
        raise FileNotFoundError(path)
    mode = "rw" if writing else "ro"
    try:
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            timeout=BUSY_S,
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise Unfit(f"{path}: {error}") from None
    try:
        _settle(db, writing)
        _look(db, path)
    except (sqlite3.DatabaseError, TypeError, msgspec.MsgspecError) as error:
        db.close()
        raise Unfit(f"{path}: {error}") from None
    except Unfit:
        db.close()
        raise
    return db


def create(path: Path, check: str, *, text: bool) -> sqlite3.Connection:
    """An empty index, in place of whatever is there. `check` tells the secret it is keyed by."""
    remove(path)
    # Readable by its owner only, from the first byte on; SQLite gives the files beside it the same mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(path, isolation_level=None, timeout=BUSY_S, check_same_thread=False)
    db.execute(f"PRAGMA page_size = {_PAGE_BYTES:d}")
    _settle(db, writing=True)
    db.executescript(f"BEGIN IMMEDIATE; {_TABLES}")
    db.executemany(
        "INSERT INTO meta VALUES (?, ?)",
        [("last", _pack(Mark())), ("check", check), ("text", int(text)), ("merging", 0)],
    )
    db.execute(f"PRAGMA application_id = {_APPLICATION}")
    db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute("COMMIT")
    return db


def meta(db: sqlite3.Connection, name: str) -> Any:
    """One of the facts about the index itself."""
    return db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()[0]


def last_of(db: sqlite3.Connection) -> Mark:
    return _unpack(meta(db, "last"))


def mark_of(line: Line) -> Mark:
    return Mark(line.seq, line.segment, line.offset, hashlib.sha256(line.line).digest()[:16])


def remove(path: Path) -> None:
    for suffix in ("-wal", "-shm", ""):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Generator[None]:
    """All that is written inside, or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """The one right to bring the index up to date. Raises `Locked`, and `OSError` where it may not be written."""
    number = os.open(data_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked(f"another process keeps the index of {data_dir}") from None
        yield
    finally:
        os.close(number)


def _settle(db: sqlite3.Connection, writing: bool) -> None:
    db.execute("PRAGMA cache_size = -32768")
    db.execute("PRAGMA temp_store = memory")
    if writing:
        db.execute("PRAGMA journal_mode = WAL")
        # A power cut may take the last batches back, position and all: they are read again.
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA secure_delete = ON")  # what is forgotten is overwritten
        [page_bytes] = db.execute("PRAGMA page_size").fetchone()
        db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_BYTES // page_bytes:d}")
        db.execute("PRAGMA journal_size_limit = 67108864")


def _look(db: sqlite3.Connection, path: Path) -> None:
    [application], [version] = (
        db.execute("PRAGMA application_id").fetchone(),
        db.execute("PRAGMA user_version").fetchone(),
    )
    if application != _APPLICATION or version != VERSION:
        raise Unfit(f"{path} is no index of version {VERSION}")
    last_of(db)
