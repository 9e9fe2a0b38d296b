"""What a lying database answers: whole answers of an honest one, with a hidden value in the first column, then mutated."""

import random
import struct
from collections import Counter
from typing import Any

from funcgate.wire.postgres import frames

CANARY, CARD = b"canary-31b5", b"4111 1111 1111 1111"
TABLE = 16400
RELATIONS = [
    ("column", str(TABLE), "public", "people", str(at), name) for at, name in enumerate(("id", "name", "ssn"), 1)
]
Message = tuple[bytes, bytes]


class Case:
    """One statement, what was asked before its answer, and the columns that it has."""

    def __init__(
        self, sql: str, expected: tuple[str, ...], columns: list[tuple[Any, ...]], *, copies: bytes = b""
    ) -> None:
        """`copies` is what is between the values of a row that is copied."""
        self.sql, self.expected, self.columns, self.copies = sql, expected, columns, copies


_HIDDEN = ("up", 0, 0, 25, 0)
CASES = [
    Case("SELECT upper(ssn) AS up, name FROM people", (), [_HIDDEN, ("name", TABLE, 2, 25, 0)]),
    Case("SELECT upper(ssn) AS up, name FROM people", ("1", "2", "T"), [_HIDDEN, ("name", TABLE, 2, 25, 0)]),
    Case("SELECT ssn || '' AS up, id, 1.5 FROM people", ("2", "-T"), [_HIDDEN, ("id", TABLE, 1, 23, 1), ("x", 0, 0, 1700, 1)]),
    Case("SELECT ARRAY[ssn] AS up, '{}'::jsonb, now(), ARRAY[1, 2] FROM people", ("2", "T"),
         [("up", 0, 0, 1009, 1), ("j", 0, 0, 3802, 1), ("now", 0, 0, 1184, 1), ("array", 0, 0, 1007, 1)]),
    Case("SELECT row_to_json(people) AS up, 1::float8, 'x'::uuid FROM people", ("1", "2", "T"),
         [("up", 0, 0, 114, 0), ("f", 0, 0, 701, 1), ("u", 0, 0, 2950, 1)]),
    Case("COPY (SELECT upper(ssn), name FROM people) TO STDOUT", (), [_HIDDEN, ("name", TABLE, 2, 25, 0)], copies=b"\t"),
    Case("COPY (SELECT upper(ssn), name FROM people) TO STDOUT", ("2", "-T"), [_HIDDEN, ("n", TABLE, 2, 25, 0)], copies=b"\t"),
    Case("COPY (SELECT upper(ssn), name FROM people) TO STDOUT (FORMAT csv)", (), [_HIDDEN, ("n", TABLE, 2, 25, 0)], copies=b","),
    Case("COPY (SELECT upper(ssn), name FROM people) TO STDOUT (DELIMITER '-', HEADER)", (), [_HIDDEN, ("n", 0, 0, 25, 0)],
         copies=b"-"),
]  # fmt: skip


def _value(noise: random.Random, kind: int, form: int) -> bytes | None:
    what = noise.randrange(12)
    if what == 0:
        return None
    if what == 1:
        return noise.choice(
            (b"", b"\xff\xfe", b"\0" * noise.randrange(20), bytes(noise.randrange(256) for _ in range(12)))
        )
    if kind == 25:
        return noise.choice(
            (b"plain", b"card " + CARD, b"a@example.com", "ü".encode() * 40, b"y" * noise.choice((10, 5000)))
        )
    sound = {
        23: struct.pack("!i", noise.randrange(1 << 31)), 701: struct.pack("!d", noise.choice((1.5, float("inf"), float("nan")))),
        1700: struct.pack(
            "!hhHHHH", 2, noise.choice((0, 1, 300, 32767)), noise.choice((0, 0x4000, 0xC000)), noise.choice((2, 16383)), 12, 3400
        ),
        1184: struct.pack("!q", noise.choice((0, 1 << 50, -(1 << 63), (1 << 63) - 1))), 2950: bytes(range(16)),
        3802: b"\x01" + noise.choice((b'{"a": "' + CARD + b'"}', b"[1, 2]", b"{", b"null")), 114: b'{"a": 1}',
        1007: struct.pack("!iiIiiiiii", 1, 0, 23, noise.choice((2, 2, -1, 1 << 30)), 1, 4, 1, 4, 2),
        1009: struct.pack("!iiIiii", 1, 0, 25, 1, 1, 5) + b"plain",
    }  # fmt: skip
    return sound.get(kind, b"plain")


def row(values: list[bytes | None]) -> bytes:
    parts = [struct.pack("!H", len(values))]
    parts += [struct.pack("!I", 0xFFFFFFFF) if one is None else struct.pack("!I", len(one)) + one for one in values]
    return b"".join(parts)


def described(columns: list[tuple[Any, ...]]) -> bytes:
    parts = [struct.pack("!H", len(columns))]
    for name, table, number, kind, form in columns:
        parts.append(name.encode() + b"\0" + struct.pack("!IHIhiH", table, number, kind, -1, -1, form))
    return b"".join(parts)


def _error(noise: random.Random) -> bytes:
    state = noise.choice((b"22P02", b"23505", b"P0001", b"01000", b"XX000", b"57014"))
    quoted = b'invalid input "' + CANARY + b'" of ' + CARD
    return b"SERROR\0VERROR\0C" + state + b"\0M" + quoted + b"\0D" + CANARY + b"\0H" + CANARY + b"\0Fx.c\0\0"


def _beside(noise: random.Random) -> Message:
    """What may come at any time."""
    return noise.choice((
        (b"N", _error(noise)), (b"S", b"TimeZone\0UTC\0"), (b"S", b"application_name\0" + CANARY + b"\0"),
        (b"S", b"standard_conforming_strings\0off\0"), (b"A", b"\0\0\0\1chan\0" + CANARY + b"\0"), (b"E", _error(noise)),
    ))  # fmt: skip


def conversation(noise: random.Random, case: Case) -> list[Message]:
    """What an honest database would answer, more or less."""
    heads = {"1": b"", "2": b"", "T": described(case.columns), "-T": described(case.columns)}
    found: list[Message] = [(each.lstrip("-").encode(), heads[each]) for each in case.expected]
    if case.copies:
        found = [(kind, payload) if kind != b"T" else (b"n", b"") for kind, payload in found]
        found.append((b"H", b"\0\0\2\0\0\0\0"))
    elif not case.expected:
        found.append((b"T", heads["T"]))
    for _ in range(noise.choice((0, 1, 3, 6, 12))):
        values = [_value(noise, kind, form) for _, _, _, kind, form in case.columns]
        values[0] = _planted(noise, case.columns[0][3])
        found.append(
            (b"d", case.copies.join(rb"\N" if one is None else one for one in values) + b"\n")
            if case.copies
            else (b"D", row(values))
        )
    if noise.random() < 0.25:
        found.insert(noise.randrange(len(found) + 1), _beside(noise))
    found += [(b"c", b"")] if case.copies else []
    return [
        *found,
        noise.choice(((b"C", b"SELECT 3\0"), (b"C", b"SELECT 3\0"), (b"s", b""), (b"I", b""))),
        (b"Z", noise.choice((b"I", b"T", b"E"))),
    ]


def _planted(noise: random.Random, kind: int) -> bytes:
    text = CANARY * noise.choice((1, 1, 4))
    return (
        struct.pack("!iiIiii", 1, 0, 25, 1, 1, len(text)) + text
        if kind == 1009
        else b'"' + text + b'"'
        if kind == 114
        else text
    )


def mutated(
    noise: random.Random, messages: list[Message], other: list[Message], counts: Counter[str]
) -> tuple[bytes, bool]:
    """Messages dropped, doubled, swapped, of another answer; their bytes, types and lengths changed. And whether one that holds
    the hidden value in a text of its own (an error, say) may be another one now."""
    touched = False
    raws = [frames.frame(*each) for each in messages]
    for _ in range(noise.choice((0, 1, 1, 1, 2, 4))):
        at, what = noise.randrange(len(raws)), noise.randrange(11)
        raw = bytearray(raws[at])
        touched = touched or what in (0, 3, 6) or (what < 7 and raw[:1] in b"ENAS")
        if what == 0:
            raw[noise.randrange(len(raw))] = noise.choice((0, 1, 0x7F, 0xFF, noise.randrange(256)))
        elif what in (1, 2) and len(raw) > 5:
            for _ in range(noise.choice((1, 1, 3))):
                raw[noise.randrange(5, len(raw))] = noise.choice((0, 1, 0x7F, 0xFF, noise.randrange(256)))
        elif what == 3:
            raw[1:5] = struct.pack("!I", noise.choice((0, 4, len(raw), len(raw) - 2, 0xFFFFFFFF, 1 << 20)))
        elif what == 4:
            raw = bytearray(frames.frame(bytes(raw[:1]), bytes(raw[5 : noise.randrange(5, len(raw) + 1)])))
        elif what == 5:
            raw = bytearray(
                frames.frame(bytes(raw[:1]), bytes(raw[5:]) + bytes(noise.randrange(256) for _ in range(3)))
            )
        elif what == 6:
            raw[0] = noise.choice(b"RSKZvTDCIsnENA123tGHdcW")
        elif what == 7:
            raws[at : at + 1] = [] if len(raws) > 1 else [bytes(raw)]
        elif what == 8:
            raws[at : at + 1] = [bytes(raw)] * noise.choice((2, 2, 20))
        elif what == 9:
            to = noise.randrange(len(raws))
            raws[at], raws[to] = raws[to], raws[at]
        else:
            raws[at] = frames.frame(*noise.choice(other))
        counts[_WHAT[what]] += 1
        if what < 7:
            raws[at] = bytes(raw)
    counts["messages"] += len(raws)
    return b"".join(raws), touched


_WHAT = ("flipped", "inside", "inside", "lengths", "cut", "grown", "types", "dropped", "doubled", "swapped", "foreign")
