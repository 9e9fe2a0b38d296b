"""Which calls match, newest first: sets of calls cut with each other, chunk by chunk, and with the words' index.

Whatever is asked, no more is looked at than a few bytes for each chunk and filter: a question without answers is as quick.
"""

import base64
import sqlite3
from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import groupby
from typing import NamedTuple

from funcgate.core.selector import function_pattern
from funcgate.recording.addresses import network, spelling
from funcgate.recording.filters import Filters
from funcgate.recording.words import Term, terms

from .bits import CHUNK, SHIFT, between, newest_first
from .fold import microseconds, places_of
from .keys import Fact, Keys, fact_of, keys_of, token
from .sets import any_of, marks, portions

_MAX_ALTERNATIVES = 64  # keys of one filter that the words' index is asked for; more are cut chunk by chunk
_PAGE = 200  # calls whose places are fetched at once


class Hit(NamedTuple):
    """A call that was found: the number of its first line, its name, and segment and byte of each of its lines."""

    seq: int
    call: str
    places: list[tuple[int, int]]


def _is_said(keys: list[int]) -> bool:
    """Whether the words' index holds these facts too, and can be asked for one of so many."""
    return 0 < len(keys) <= _MAX_ALTERNATIVES and fact_of(keys[0]) != Fact.KIND


class BadCursor(ValueError):
    """A cursor that no page gave."""


def cursor_after(hit: Hit) -> str:
    """Where the next page begins. It stays good while calls come in, and when the index is rebuilt."""
    return base64.urlsafe_b64encode(b"1:%d" % hit.seq).decode().rstrip("=")


def seq_of(cursor: str) -> int:
    """Raises `BadCursor`."""
    try:
        version, _, seq = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).partition(b":")
        if version == b"1" and 0 < int(seq) < 1 << 62:
            return int(seq)
    except ValueError:
        pass
    raise BadCursor(f"{cursor!r} is no cursor that a page ended with")


class Search:
    """Asks one index. `db` may be read while it is written: each question sees one state of it."""

    def __init__(self, db: sqlite3.Connection, keys: Keys) -> None:
        self.db = db
        self._keys = keys

    def hits(self, filters: Filters, cursor: str = "") -> Iterator[Hit]:
        """The calls that match, newest first; of a hash that two values share, also one that does not.

        Raises `ValueError` for a filter that means nothing, at once.
        """
        wanted = self._wanted(filters)
        query = self._query(terms(filters.text)) if filters.text else ""
        before = seq_of(cursor) if cursor else None
        return self._numbers(filters, wanted, query, before)

    def _numbers(self, filters: Filters, wanted: list[list[int]], query: str, before: int | None) -> Iterator[Hit]:
        low, high = self._range(filters, before)
        beside = [[self._keys.key(Fact.ELSEWHERE, "")]]
        wanted_numbers: Iterator[int]
        if filters.call:
            found = self._found(filters.call, low, high)
            wanted_numbers = (n for n in found if self._fits(n, wanted, query) or self._fits(n, [*beside, *wanted], ""))
        elif query:
            found_by_words = self._worded(low, high, wanted, query)
            elsewhere = self._cut(low, high, [*beside, *wanted], "")
            wanted_numbers = (n for n, _ in groupby(merge(found_by_words, elsewhere, reverse=True)))
        elif wanted:
            wanted_numbers = self._cut(low, high, wanted, query)
        else:
            wanted_numbers = self._all(low, high)
        some: list[int] = []
        size = 8  # at first few, for whoever wants few
        for n in wanted_numbers:
            some.append(n)
            if len(some) >= size:
                yield from self.hits_of(some)
                some, size = [], min(size * 4, _PAGE)
        yield from self.hits_of(some)

    def _worded(self, low: int, high: int, wanted: list[list[int]], query: str) -> Iterator[int]:
        """By the words that the index holds. Content in another folder has none here: whoever asks reads it, and looks."""
        if not all(map(_is_said, wanted)):
            return self._cut(low, high, wanted, query)
        facts = (" OR ".join(f'"{token(key)}"' for key in keys) for keys in wanted)
        return self._said(" AND ".join([query, *(f"({keys})" for keys in facts)]), low, high)

    def _wanted(self, filters: Filters) -> list[list[int]]:
        """For each filter the keys of which a call has to have one."""
        key = self._keys.key
        plain = (
            (Fact.TARGET, filters.target), (Fact.DECISION, filters.decision), (Fact.KIND, filters.kind),
            (Fact.SESSION, filters.session), (Fact.POLICY, filters.policy), (Fact.GROUP, filters.group),
        )  # fmt: skip
        wanted = [[key(fact, value)] for fact, value in plain if value]
        if filters.principal.startswith("group:"):
            wanted.append([key(Fact.GROUP, filters.principal.removeprefix("group:"))])
        elif filters.principal:
            name = filters.principal.removeprefix("user:")
            wanted.append([key(fact, name) for fact in (Fact.WHO, Fact.SUBJECT, Fact.ACTS_FOR)])
        if filters.approver:
            wanted.append([key(Fact.APPROVER, filters.approver.removeprefix("user:"))])
        if filters.client:
            nets = "/" in filters.client
            wanted.append(
                list(self._keys.inside(network(filters.client)))
                if nets
                else [key(Fact.CLIENT, spelling(filters.client))]
            )
        wanted += [keys for keys in (self._functions(filters.function), self._codes(filters.code)) if keys is not None]
        return wanted

    def _functions(self, pattern: str) -> list[int] | None:
        family = pattern.removesuffix(".*")
        if family != pattern and "*" not in family and "." not in family and family:
            return [self._keys.key(Fact.FAMILY, f"{family}.")]
        return self._named(Fact.FUNCTION, pattern)

    def _codes(self, pattern: str) -> list[int] | None:
        return self._named(Fact.CODE, pattern)

    def _named(self, fact: Fact, pattern: str) -> list[int] | None:
        """None for a pattern that is everything."""
        if not pattern.strip("*"):
            return None
        if "*" not in pattern:
            return [self._keys.key(fact, pattern)]
        matches = function_pattern(pattern).match
        names = self.db.execute("SELECT key, name FROM names WHERE key BETWEEN ? AND ?", keys_of(fact))
        return [key for key, name in names if matches(name)]

    def _query(self, wanted: Sequence[Term]) -> str:
        """In the language of the words' index. Attack: words that are operators there. Each is quoted, and has no quotes."""
        said = []
        for term in wanted:
            if term.prefix and self._keys.hashes:
                raise ValueError(
                    "where the journal is encrypted, only whole words can be searched for, not their beginning"
                )
            said.append(f'"{self._keys.words(" ".join(term.words))}"{" *" if term.prefix else ""}')
        return " AND ".join(said)

    def _range(self, filters: Filters, before: int | None) -> tuple[int, int]:
        """The first and the last number that come into question. Times and line numbers rise with the numbers of calls."""
        low, high = self.db.execute("SELECT (SELECT min(n) FROM calls), (SELECT max(n) FROM calls)").fetchone()
        if low is None:
            return 1, 0
        if filters.since:
            low = self._first("at", microseconds(filters.since), low, high)
        end = high + 1
        if filters.until:
            end = self._first("at", microseconds(filters.until), low, end)
        if before is not None:
            end = self._first("seq", before, low, end)
        return low, end - 1

    def _first(self, column: str, value: int, low: int, high: int) -> int:
        """The first number from `low` on whose call is not before the value; above `high` if there is none."""
        statement = f"SELECT {column} FROM calls WHERE n >= ? ORDER BY n LIMIT 1"  # noqa: S608
        while low <= high:
            middle = (low + high) // 2
            found = self.db.execute(statement, (middle,)).fetchone()
            if found is None or found[0] >= value:
                high = middle - 1
            else:
                low = middle + 1
        return low

    def sets(self, filters: Filters) -> Iterator[tuple[int, int]]:
        """The calls that match, chunk by chunk, newest first: the chunk, and its members as bits. Words are not looked at."""
        return self._sets(*self._range(filters, None), self._wanted(filters))

    def having(self, key: int) -> Iterator[int]:
        """The calls that have a fact."""
        for chunk, bits in self._sets(*self._range(Filters(), None), [[key]]):
            yield from ((chunk << SHIFT) + member for member in newest_first(bits))

    def between_lines(self, first: int, last: int) -> range:
        """The calls whose first line is one of these."""
        low, high = self._range(Filters(), None)
        return range(self._first("seq", first, low, high), self._first("seq", last + 1, low, high + 1))

    def _sets(self, low: int, high: int, wanted: list[list[int]]) -> Iterator[tuple[int, int]]:
        for chunk in range(high >> SHIFT, (low >> SHIFT) - 1, -1):
            start = chunk << SHIFT
            bits = between(max(low - start, 0), min(high - start, CHUNK - 1))
            for keys in wanted:
                bits = bits and bits & any_of(self.db, chunk, keys)
            if bits:
                yield chunk, bits

    def _cut(self, low: int, high: int, wanted: list[list[int]], query: str) -> Iterator[int]:
        for chunk, bits in self._sets(low, high, wanted):
            start = chunk << SHIFT
            if query:
                yield from self._said_of(query, start, bits)
            else:
                yield from (start + member for member in newest_first(bits))

    def _said(self, query: str, low: int, high: int) -> Iterator[int]:
        found = self.db.execute(
            "SELECT rowid FROM words WHERE words MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid DESC",
            (query, low, high),
        )
        return (n for (n,) in found)

    def _said_of(self, query: str, start: int, bits: int) -> Iterator[int]:
        """Of one chunk. The members are told to the database as a string of 0 and 1, so that it passes over the others."""
        low = (bits & -bits).bit_length() - 1
        mask = format(bits, "b")[::-1].encode()
        found = self.db.execute(
            "SELECT rowid FROM words WHERE words MATCH ? AND rowid BETWEEN ? AND ?"
            " AND substr(?, rowid - ? + 1, 1) = x'31' ORDER BY rowid DESC",
            (query, start + low, start + bits.bit_length() - 1, mask, start),
        )
        return (n for (n,) in found)

    def _all(self, low: int, high: int) -> Iterator[int]:
        found = self.db.execute("SELECT n FROM calls WHERE n BETWEEN ? AND ? ORDER BY n DESC", (low, high))
        return (n for (n,) in found)

    def _found(self, call: str, low: int, high: int) -> list[int]:
        found = self.db.execute("SELECT n FROM calls WHERE call = ? AND n BETWEEN ? AND ?", (call, low, high))
        return [n for (n,) in found]

    def _fits(self, n: int, wanted: list[list[int]], query: str) -> bool:
        return n in self._cut(n, n, wanted, query) if wanted else not query or n in self._said(query, n, n)

    def hits_of(self, numbers: list[int]) -> Iterator[Hit]:
        """The calls of these numbers, newest first in each portion."""
        for some in portions(numbers):
            statement = f"SELECT seq, call, places FROM calls WHERE n IN ({marks(some)}) ORDER BY n DESC"  # noqa: S608
            for seq, call, places in self.db.execute(statement, some):
                yield Hit(seq, call, places_of(places))
