"""The sets of calls in the database: one for each chunk of calls and each key that a call of it has."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TypeVar

from .bits import changed, load

_SOME = 500  # values in one list of a statement
_Value = TypeVar("_Value")
_FOUND = "SELECT key, members FROM sets WHERE chunk = ? AND key IN "
Place = tuple[int, int]  # chunk, key


def change_sets(
    db: sqlite3.Connection, adding: Mapping[Place, Sequence[int]], removing: Mapping[Place, Sequence[int]]
) -> None:
    """Members more and members less. Inside a transaction."""
    places = sorted(adding.keys() | removing.keys())
    held: dict[Place, bytes] = {}
    for chunk, of_chunk in groupby(places, key=lambda place: place[0]):
        for some in portions([key for _, key in of_chunk]):
            found = db.execute(_FOUND + f"({marks(some)})", (chunk, *some))
            held.update(((chunk, key), members) for key, members in found)
    made = [(*at, changed(held.get(at, b""), adding.get(at, ()), removing.get(at, ()))) for at in places]
    db.executemany("INSERT OR REPLACE INTO sets VALUES (?, ?, ?)", [row for row in made if row[2]])
    db.executemany("DELETE FROM sets WHERE chunk = ? AND key = ?", [row[:2] for row in made if not row[2]])


def held_sets(db: sqlite3.Connection, chunk: int, keys: Sequence[int]) -> dict[int, bytes]:
    """What is stored of these keys in one chunk."""
    held: dict[int, bytes] = {}
    for some in portions(keys):
        held.update(db.execute(_FOUND + f"({marks(some)})", (chunk, *some)).fetchall())
    return held


def put_sets(db: sqlite3.Connection, chunk: int, made: Iterable[tuple[int, bytes]]) -> None:
    """Sets in place of others of these keys, none of them empty. Inside a transaction."""
    db.executemany(f"INSERT OR REPLACE INTO sets VALUES ({chunk:d}, ?, ?)", made)  # noqa: S608


def any_of(db: sqlite3.Connection, chunk: int, keys: Sequence[int]) -> int:
    """The calls of a chunk that have one of the keys, as bits."""
    bits = 0
    for some in portions(keys):
        for _, members in db.execute(_FOUND + f"({marks(some)})", (chunk, *some)):
            bits |= load(members)
    return bits


def all_between(db: sqlite3.Connection, chunk: int, least: int, greatest: int) -> Iterator[tuple[int, int]]:
    """The keys of a chunk from `least` to `greatest`, each with its calls as bits."""
    found = db.execute(
        "SELECT key, members FROM sets WHERE chunk = ? AND key BETWEEN ? AND ?", (chunk, least, greatest)
    )
    return ((key, load(members)) for key, members in found)


def portions(values: Sequence[_Value]) -> Iterator[Sequence[_Value]]:
    """The values, so many at a time as one statement takes."""
    for start in range(0, len(values), _SOME):
        yield values[start : start + _SOME]


def marks(values: Iterable[object]) -> str:
    return ",".join("?" for _ in values)
