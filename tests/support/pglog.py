"""What a PostgreSQL server logged of the statements that reached it, and whether a journal allowed each of them.

The server's own log is the witness: it says what was parsed, bound and run, with the values, whoever sent it.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from pglast import split

from funcgate.catalog.sql import RELATIONS_SQL
from funcgate.recording.folder import open_segment, segments
from support.postgres import Database

_ENTRY = re.compile(rb"@@\d+ ([A-Z]+):  ")
_STEP = re.compile(
    r"(?:duration: [\d.]+ ms  )?(statement|parse|bind|execute)(?: fetch from)?(?: [^:]*?)?: (.*)", re.DOTALL
)
_VALUE = re.compile(r"\$\d+ = ('(?:[^']|'')*'|NULL)")
_OURS = frozenset({RELATIONS_SQL.strip(), "funcgate_refused"})
_HIDDEN = re.compile(r"\\\[REDACTED:[a-z_]+\\\]")


class Logged(msgspec.Struct):
    """`step` is what the server did with the text: statement, parse, bind, execute; or failed. `values` None: it has none."""

    step: str
    sql: str
    values: tuple[str | None, ...] | None = None


def log_everything(database: Database) -> None:
    with database.connect(user="root") as connection:
        for setting in ("log_statement = 'all'", "log_min_duration_statement = 0", "log_line_prefix = '@@%p '"):
            connection.execute(f"ALTER SYSTEM SET {setting}")  # type: ignore[arg-type]
        connection.execute("SELECT pg_reload_conf()")


def logged(log: Path, since: int, until: int) -> Iterator[Logged]:
    """What lies between these two bytes of the log."""
    last: Logged | None = None
    for kind, text in _entries(log, since, until):
        if kind == "DETAIL" and last is not None and text[:12].lower() == "parameters: ":
            last.values = tuple(
                [None if one == "NULL" else one[1:-1].replace("''", "'") for one in _VALUE.findall(text)]
            )
            continue
        if last is not None:
            yield last
            last = None
        if kind == "STATEMENT":
            last = Logged("failed", text)
        elif kind == "LOG" and (found := _STEP.fullmatch(text)):
            last = Logged(found[1], found[2])
    if last is not None:
        yield last


def _entries(log: Path, since: int, until: int) -> Iterator[tuple[str, str]]:
    """A line that begins with a tab goes on with the one before it, after a line's end of its own."""
    kind, parts = "", list[bytes]()
    with log.open("rb") as lines:
        lines.seek(since)
        for line in lines:
            if (since := since + len(line)) > until:
                break
            if found := _ENTRY.match(line):
                yield kind, b"".join(parts)[:-1].decode()
                kind, parts = found[1].decode(), [line[found.end() :]]
            else:
                parts.append(line.removeprefix(b"\t"))
    yield kind, b"".join(parts)[:-1].decode()


class Allowed:
    """What a journal allowed, by text: how often, and with which values."""

    def __init__(self, journal: Path) -> None:
        self.unended = 0
        self.errors: list[str] = []
        self.texts: Counter[str] = Counter()
        self._values: dict[str, set[tuple[frozenset[str], ...]]] = {}
        self._masked: list[re.Pattern[str]] = []
        arrived: dict[str, Any] = {}
        ends: Counter[str] = Counter()
        came: Counter[str] = Counter()
        for segment in segments(journal):
            with open_segment(journal, segment.name) as lines:
                for line in lines:
                    self._read(line, arrived, came, ends)
        self.calls = len(came)
        self.unended = sum(1 for call in came if ends[call] != 1 or came[call] != 1)

    def _read(self, line: bytes, arrived: dict[str, Any], came: Counter[str], ends: Counter[str]) -> None:
        entry = _decode(line)
        if entry.code == "gateway.error":
            self.errors.append(entry.detail)
        if entry.kind == "arrived":
            came[entry.call] += 1
            arrived[entry.call] = entry.args
        elif entry.kind == "ended":
            ends[entry.call] += 1
            arrived.pop(entry.call, None)
        elif entry.kind == "allowed" and (args := arrived.get(entry.call)) and "sql" in args:
            self._add(args["sql"], args.get("parameters", ()))

    def _add(self, sql: str, values: Any) -> None:
        text = sql.rpartition("\n/* ")[0] if sql.endswith(" */") and "\n/* " in sql else sql
        (text,) = statements(text) or ("",)
        self.texts[text] += 1
        self._values.setdefault(text, set()).add(tuple(map(_spellings, values)))
        if "[REDACTED:" in text:
            self._masked.append(re.compile(_HIDDEN.sub(".*", re.escape(text)), re.DOTALL))

    def has(self, found: Logged) -> bool:
        """Whether every statement of it was allowed, with these values if it has any."""
        for text in statements(found.sql):
            if text in _OURS or any(pattern.fullmatch(text) for pattern in self._masked):
                continue
            if text not in self.texts:
                return False
            if found.values and not text.upper().startswith("PREPARE") and not self._had(text, found.values):
                return False
        return True

    def _had(self, text: str, values: tuple[str | None, ...]) -> bool:
        # What PREPARE is given besides is not its statement's, and nothing is done with it.
        return any(len(each) == len(values) and all(map(_same, each, values)) for each in self._values[text])


class _Entry(msgspec.Struct):
    kind: str
    call: str
    code: str = ""
    detail: str = ""
    args: Any = None


_decode = msgspec.json.Decoder(_Entry).decode


def statements(sql: str) -> tuple[str, ...]:
    """The texts in a text, as the server's own parser splits them; the text itself when it cannot be parsed."""
    try:
        return tuple(text.strip(" \t\r\n;") for text in split(sql))
    except Exception:
        return (sql.strip(" \t\r\n;"),)


def _spellings(value: Any) -> frozenset[str]:
    """What the server may show of a value that was judged: numbers and bytes in its own spelling, whatever type it is of."""
    if value is None:
        return frozenset()
    if isinstance(value, dict):
        raw = bytes.fromhex(value["hex"])
        return frozenset(
            {f"\\x{raw.hex()}", raw.decode("utf-8", "replace"), str(int.from_bytes(raw, "big", signed=True))}
        )
    text = str(value)
    return frozenset({text, f"\\x{text.encode().hex()}", str(int(text)) if text.isdecimal() else text})


def _same(judged: frozenset[str], shown: str | None) -> bool:
    return shown in judged if shown is not None else not judged
