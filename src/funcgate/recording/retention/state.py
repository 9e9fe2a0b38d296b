"""What the retention knows of the journal: how old each segment is, which objects are named where, which calls are open,
which holds stand, what has been ordered. A view in SQLite, kept by one thread; it may be deleted, and is built anew.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
from msgspec import Struct

from funcgate.core.entry import Entry, Kind
from funcgate.core.ids import made_at
from funcgate.recording.folder import Line
from funcgate.recording.reader import with_room

from .clock import Witnessed
from .holds import HOLD, RELEASE, Holds, after
from .orders import CLOCK, EXPIRED, WITHHELD, Gone, Order, Range, by_the_keeper, merged, order_in, without
from .rules import day_of, seconds_of

VERSION = 2
KEPT = 2  # segments
UNREADABLE = "\0"  # the target of a line that nobody can read: no rule is for it
_TABLES = """
CREATE TABLE fact (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE segment (name TEXT PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE age (segment TEXT, target TEXT, newest REAL NOT NULL, PRIMARY KEY (segment, target)) WITHOUT ROWID;
CREATE TABLE open (call TEXT PRIMARY KEY, session TEXT NOT NULL, target TEXT NOT NULL, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE object (digest TEXT, session TEXT, target TEXT, day TEXT, call TEXT, place TEXT,
    PRIMARY KEY (digest, call, day)) WITHOUT ROWID;
CREATE TABLE used (key TEXT PRIMARY KEY, newest REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE pending (seq INTEGER PRIMARY KEY, change BLOB NOT NULL);
"""


class _Keys(Struct):
    content_key: str = ""
    meta_key: str = ""


class _Seen(Struct):
    """What of a line matters here. Nothing else of it is read."""

    kind: str
    call: str = ""
    session: str = ""
    target: str = ""
    function: str = ""
    object: str = ""
    args_object: str = ""
    where: str = ""
    sealed: _Keys | None = None
    change: msgspec.Raw = msgspec.Raw()


class OpenCall(NamedTuple):
    """A call without an end so far, and the number of the line it arrived with."""

    session: str
    target: str
    seq: int


class Named(NamedTuple):
    """One entry that names an object, and the place that it lies in: "" is the data folder."""

    digest: str
    session: str
    target: str
    day: str
    call: str
    place: str


class _Facts(Struct, kw_only=True):
    version: int = VERSION
    position: int = 0
    clock: Witnessed = Witnessed()
    holds: Holds = ()
    gone: tuple[Range, ...] = ()


_decode = msgspec.json.Decoder(_Seen).decode
_decode_change = msgspec.json.Decoder(dict[str, Any]).decode
_decode_facts = msgspec.json.Decoder(_Facts).decode
_encode = msgspec.json.Encoder().encode


class State:
    """The view. `path` ":memory:" keeps it nowhere. `given` tells whether an order is one of this gateway's. Raises
    `sqlite3.Error`, `OSError`."""

    def __init__(self, path: Path | str, given: Callable[[Mapping[str, Any]], bool] = by_the_keeper) -> None:
        self._path = path
        self._given = given
        self._sql, self._facts = self._load()
        self._open = {
            call: OpenCall(*rest) for call, *rest in self._rows("SELECT call, session, target, seq FROM open")
        }

    @classmethod
    def copy_of(cls, path: Path) -> "State":
        """The view that the keeper has by now, in memory; an empty one if it has none. Changes nothing on the disk."""
        state = cls(":memory:")
        try:
            with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as source:
                source.backup(state._sql)
            facts = cls._read_facts(state._sql)
        except (sqlite3.Error, msgspec.MsgspecError):
            return cls(":memory:")
        if facts.version != VERSION:
            return cls(":memory:")
        state._facts, state._open = facts, state._open_calls()
        return state

    # -- what is known

    @property
    def position(self) -> int:
        return self._facts.position

    @property
    def clock(self) -> Witnessed:
        return self._facts.clock

    @property
    def holds(self) -> Holds:
        return self._facts.holds

    @property
    def gone(self) -> tuple[Range, ...]:
        return self._facts.gone

    @property
    def open_calls(self) -> Sequence[OpenCall]:
        return tuple(self._open.values())

    def sealed(self) -> Iterator[tuple[Gone, dict[str, float]]]:
        """The segments that may go, oldest first, and for each target the time of the newest line in it.

        The newest two stay: a start of the gateway reads them.
        """
        ages: dict[str, dict[str, float]] = {}
        for segment, target, newest in self._rows("SELECT segment, target, newest FROM age"):
            ages.setdefault(segment, {})[target] = newest
        found = list(self._rows("SELECT name, first, last FROM segment ORDER BY name"))
        for name, first, last in found[:-KEPT]:
            yield Gone(name, first, last), ages.get(name, {})

    def knows(self, segment: str) -> bool:
        """Whether the segment is one that has not expired."""
        return self._sql.execute("SELECT 1 FROM segment WHERE name = ?", (segment,)).fetchone() is not None

    def objects(self) -> Iterator[Named]:
        """Every entry that names an object, by object."""
        query = "SELECT digest, session, target, day, call, place FROM object ORDER BY digest"
        return (Named(*row) for row in self._sql.execute(query))

    def naming(self, digest: str) -> list[Named]:
        """The entries that name an object."""
        query = "SELECT digest, session, target, day, call, place FROM object WHERE digest = ?"
        return [Named(*row) for row in self._sql.execute(query, (digest,))]

    def last_use(self, key: str) -> float:
        """When a line was last sealed with the key of that name; 0 if none was."""
        found = self._sql.execute("SELECT newest FROM used WHERE key = ?", (key,)).fetchone()
        return 0.0 if found is None else float(found[0])

    def pending(self) -> list[tuple[int, Order]]:
        """What has been ordered and not been carried out, oldest first."""
        rows = self._rows("SELECT seq, change FROM pending ORDER BY seq")
        found = [(seq, order_in(msgspec.json.decode(change))) for seq, change in rows]
        return [(seq, order) for seq, order in found if order is not None]

    # -- what changes it

    def take(self, lines: Iterable[Line]) -> None:
        """Read the next lines. All of them or none."""
        with self._whole():
            for line in lines:
                if line.seq > self._facts.position:
                    self._read(line)
                    self._facts.position = line.seq

    def carried_out(self, seq: int, order: Order, withheld: Order) -> None:
        """The order of that entry was carried out, but for what `withheld` names."""
        order = order.less(withheld)
        with self._whole():
            # At once, not when the entry about it is read: an order in between would say that it is gone.
            self._keep(withheld)
            self._sql.execute("DELETE FROM pending WHERE seq = ?", (seq,))
            places = [(digest, day_of(order.before)) for digest in order.objects]
            self._sql.executemany("DELETE FROM object WHERE digest = ? AND day < ?", places)
            for gone in order.segments:
                self._sql.execute("DELETE FROM segment WHERE name = ?", (gone.segment,))
                self._sql.execute("DELETE FROM age WHERE segment = ?", (gone.segment,))
            self._sql.executemany("DELETE FROM used WHERE key = ?", [(key.name,) for key in order.keys])

    def close(self) -> None:
        self._sql.close()

    # -- one line

    def _read(self, line: Line) -> None:
        try:
            seen = with_room(_decode, line.line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            seen = _Seen(kind="", target=UNREADABLE)
        at = seconds_of(line.at.decode())
        call = self._open.get(seen.call)
        target = seen.target or (call.target if call is not None else seen.function.partition(".")[0])
        header = False
        if seen.kind == Kind.ADMIN:
            header = self._administered(line, with_room(_decode_change, bytes(seen.change) or b"{}"), at)
        self._segment(line, target, at, header=header)
        if seen.object or seen.args_object:
            self._named(seen, call, target, day_of(line.at.decode()))
        if seen.sealed is not None:
            # The day in a key's name is the clock's, which may have been wrong; the journal's times never go back.
            upsert = "INSERT INTO used VALUES (?, ?) ON CONFLICT DO UPDATE SET newest = excluded.newest"
            names = filter(None, (seen.sealed.content_key, seen.sealed.meta_key))
            self._sql.executemany(upsert, [(name, at) for name in names])
        if seen.kind == Kind.ARRIVED:
            self._arrived(line, seen, target, at)
        elif seen.kind == Kind.ENDED and call is not None:
            del self._open[seen.call]
            self._sql.execute("DELETE FROM open WHERE call = ?", (seen.call,))

    def _arrived(self, line: Line, seen: _Seen, target: str, at: float) -> None:
        self._open[seen.call] = call = OpenCall(seen.session, target, line.seq)
        self._sql.execute("INSERT OR REPLACE INTO open VALUES (?, ?, ?, ?)", (seen.call, *call))
        # While the journal's own times stand still, because the clock was set back, the call's name tells the time.
        made = made_at(seen.call)
        self._facts.clock = self._facts.clock.saw(at if made is None else min(at, made))

    def _segment(self, line: Line, target: str, at: float, *, header: bool) -> None:
        upsert = "INSERT INTO segment VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET last = excluded.last"
        self._sql.execute(upsert, (line.segment, line.seq, line.seq))
        if not header:  # the first line of each segment is as old as the others, whatever the rule for such lines
            upsert = "INSERT INTO age VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET newest = excluded.newest"
            self._sql.execute(upsert, (line.segment, target, at))

    def _named(self, seen: _Seen, call: OpenCall | None, target: str, day: str) -> None:
        session = seen.session or (call.session if call is not None else "")
        for digest in filter(None, (seen.object, seen.args_object)):
            row = (digest, session, target, day, seen.call, seen.where)
            self._sql.execute("INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?, ?, ?)", row)

    def _administered(self, line: Line, change: dict[str, Any], at: float) -> bool:
        """Whether it is a segment's own line."""
        what = change.get("what")
        facts = self._facts
        if what in (HOLD, RELEASE):
            entry = Entry(seq=line.seq, at=line.at.decode(), kind=Kind.ADMIN, call="", change=change)
            facts.holds = after(facts.holds, entry)
        elif what == CLOCK:
            facts.clock = facts.clock.confirmed(at)
        elif what == EXPIRED and self._given(change) and (order := order_in(change)) is not None:
            facts.gone = merged([*facts.gone, *order.gone])
            self._sql.execute("INSERT OR REPLACE INTO pending VALUES (?, ?)", (line.seq, _encode(change)))
        elif what == WITHHELD and by_the_keeper(change) and (order := order_in(change, WITHHELD)) is not None:
            self._keep(order)
        return what is None and "segment" in change and "format" in change

    def _keep(self, withheld: Order) -> None:
        for one in withheld.segments:
            self._facts.gone = without(self._facts.gone, (one.first, one.last))

    # -- the file

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        facts, calls = msgspec.structs.replace(self._facts), dict(self._open)
        try:
            self._sql.execute("BEGIN IMMEDIATE")
            yield
            self._sql.execute("INSERT OR REPLACE INTO fact VALUES ('facts', ?)", (_encode(self._facts),))
            self._sql.execute("COMMIT")
        except BaseException:
            self._facts, self._open = facts, calls
            if self._sql.in_transaction:
                self._sql.execute("ROLLBACK")
            raise

    def _load(self) -> tuple[sqlite3.Connection, _Facts]:
        """The view that is there; a new one if there is none, or one that cannot be read any more."""
        try:
            return self._connected()
        except (sqlite3.DatabaseError, msgspec.MsgspecError) as error:
            if isinstance(self._path, str) or isinstance(error, sqlite3.OperationalError):
                raise  # the disk is full, say: nothing is wrong with the view
            for name in (self._path, *(Path(f"{self._path}{end}") for end in ("-wal", "-shm"))):
                name.unlink(missing_ok=True)
            return self._connected()

    def _connected(self) -> tuple[sqlite3.Connection, _Facts]:
        if isinstance(self._path, Path):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        sql = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            sql.execute("PRAGMA journal_mode = WAL")
            sql.execute("PRAGMA secure_delete = ON")  # sessions, in rows that are about what has expired
            if not sql.execute("SELECT 1 FROM sqlite_master WHERE name = 'fact'").fetchone():
                sql.executescript(f"BEGIN; {_TABLES} COMMIT;")
            facts = self._read_facts(sql)
            if facts.version != VERSION:
                raise sqlite3.DatabaseError("of another version")
        except BaseException:
            sql.close()
            raise
        return sql, facts

    @staticmethod
    def _read_facts(sql: sqlite3.Connection) -> _Facts:
        found = sql.execute("SELECT value FROM fact WHERE name = 'facts'").fetchone()
        return _Facts() if found is None else _decode_facts(found[0])

    def _open_calls(self) -> dict[str, OpenCall]:
        return {call: OpenCall(*rest) for call, *rest in self._rows("SELECT call, session, target, seq FROM open")}

    def _rows(self, query: str) -> Iterator[Any]:
        return iter(self._sql.execute(query).fetchall())
