"""Columns of a database's own types: which rows are looked at, how they are written again, and when nothing is known."""

import struct
from pathlib import Path

import msgspec
import pytest

from funcgate.catalog.sql import Relations, load_sql
from funcgate.masking.columns import ColumnRules
from funcgate.protocols.postgres.answer import Answer
from funcgate.protocols.postgres.origins import Origins
from funcgate.protocols.postgres.shape import UNREADABLE, Hiding, Shape
from funcgate.protocols.postgres.writing import message_of
from funcgate.wire.postgres import backend
from funcgate.wire.postgres.backend import Column
from funcgate.wire.postgres.owntypes import OwnTypes

MOOD, MOODS = 90_000, 90_001
TYPES = OwnTypes([(MOOD, 25, MOODS)])
ARRAY = struct.pack("!iiIiii", 1, 0, MOOD, 1, 1, 4) + b"calm"


def columns(*kinds: int, form: int = 1) -> list[Column]:
    return [Column("c", 0, 0, kind, form) for kind in kinds]


def test_rows_of_enums_are_read_by_the_compiled_half() -> None:
    shape = Shape(columns(MOOD, 23), [None, None], TYPES)
    assert shape.plain is not None
    assert shape.plain[0] == bytes([0, 4])
    assert Shape(columns(MOOD), [None]).plain is None
    assert Shape(columns(MOODS), [None], TYPES).plain is None


def test_what_is_known_is_shown_and_the_rest_is_not() -> None:
    shape = Shape(columns(MOOD, MOODS, 90_002), [None] * 3, TYPES)
    row = backend.row([b"calm", ARRAY, b"calm"])
    line = shape.read(row, 5, len(row))
    assert line[:2] == ["calm", ["calm"]]
    assert shape.conceal(line, strict=True)
    assert line == ["calm", ["calm"], UNREADABLE]


@pytest.mark.parametrize("whole", [False, True])
def test_what_masking_found_is_null_and_the_rest_stays(whole: bool) -> None:
    """`whole`: by the line of all that it says; otherwise by the message alone, as beside a column that is hidden."""
    shape = Shape(columns(MOOD, MOODS, MOOD, 25), [None] * 4, TYPES)
    values = [b"calm", ARRAY, b"4111 1111 1111 1111", b"x"]
    raw = backend.row(values)
    before = msgspec.json.encode(shape.read(raw, 5, len(raw)))
    masked = before.replace(b"4111 1111 1111 1111", b"[REDACTED:card]")
    written = message_of(backend.DATA_ROW, raw, masked, shape, None, before if whole else None)
    assert backend.read_row(written[5:]) == [b"calm", ARRAY, None, b"x"]
    masked = before.replace(b'["calm"]', b'["[REDACTED:name]"]')
    written = message_of(backend.DATA_ROW, raw, masked, shape, None, before if whole else None)
    assert backend.read_row(written[5:]) == [b"calm", None, values[2], b"x"]


def test_an_answer_shows_them_by_what_is_known_when_it_is_described() -> None:
    known = [OwnTypes()]
    hiding = Hiding(ColumnRules(), lambda described: [()] * len(described), {}, lambda: known[0])
    row = backend.row([b"calm"])
    assert Answer((), hiding, strict=True, columns=columns(MOOD)).take_rows(row)[0] == f'["{UNREADABLE}"]\n'.encode()
    known[0], again = TYPES, columns(MOOD, form=1)
    hiding.known.clear()
    assert Answer((), hiding, strict=True, columns=again).take_rows(row)[0] == b'["calm"]\n'


def test_a_session_that_may_have_changed_its_types_knows_none() -> None:
    """Attack: a type dropped and another made, read as the one before."""
    known = Relations([("type", str(MOOD), "", "", str(MOODS), "25")]).types
    for text in ("DROP TYPE mood", "DO 'BEGIN END'", "BEGIN; CREATE TYPE mood AS ENUM (); ROLLBACK"):
        origins = Origins()
        assert origins.types().read_as(MOOD) == MOOD
        for statement in load_sql("shop", None, Path(), ()).analyse(text):
            origins._types = OwnTypes(known)
            origins.took_effect(statement)
        assert origins.types().read_as(MOOD) == MOOD
    origins._types = OwnTypes(known)
    for text in (
        "RESET ALL; SET search_path TO public; CALL f(); SELECT f(); BEGIN; ROLLBACK TO a; ROLLBACK",
        "SELECT 1",
    ):
        for statement in load_sql("shop", None, Path(), ()).analyse(text):
            origins.took_effect(statement)
        assert origins.types().read_as(MOOD) == 25
    origins.end()
    assert origins.types().read_as(MOOD) == MOOD
