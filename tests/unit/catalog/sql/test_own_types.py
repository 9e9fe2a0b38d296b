"""What a real database says of its own types, and how it sends their values in binary."""

from collections.abc import Iterator

import psycopg
import pytest

from funcgate.catalog.sql import RELATIONS_SQL, Relations
from funcgate.wire.postgres.owntypes import OwnTypes
from funcgate.wire.postgres.values import Opaque
from support.postgres import Database

TYPES = """
CREATE SCHEMA own_types; SET search_path = own_types, public;
CREATE TYPE mood AS ENUM ('calm', 'merry', 'Zoë', '4111 1111 1111 1111');
CREATE DOMAIN spirit AS mood CHECK (VALUE <> 'merry'); CREATE DOMAIN humour AS spirit;
CREATE DOMAIN word AS varchar(9); CREATE DOMAIN few AS int CHECK (VALUE < 9); CREATE DOMAIN moods AS mood[];
CREATE TYPE pair AS (a mood, b int); CREATE TYPE span AS RANGE (SUBTYPE = int);
"""
READ = [
    ("'calm'::mood", "calm"),
    ("'Zoë'::spirit", "Zoë"),
    ("'calm'::humour", "calm"),
    ("ARRAY['calm', NULL, 'Zoë']::mood[]", ["calm", None, "Zoë"]),
    ("'{}'::mood[]", []),
    ("'{{calm,merry},{Zoë,calm}}'::mood[]", ["calm", "merry", "Zoë", "calm"]),
    ("'[3:4]={calm,merry}'::mood[]", ["calm", "merry"]),
    ("ARRAY['calm']::spirit[]", ["calm"]),
    ("ARRAY['calm']::humour[]", ["calm"]),
    ("ARRAY['a', 'b']::word[]", ["a", "b"]),
    ("ARRAY[1, 2]::few[]", [1, 2]),
    ("ARRAY['calm']::moods", ["calm"]),
    ("1::few", 1),
]
UNREAD = [
    "ROW('calm', 1)::pair", "ARRAY[ROW('calm', 1)::pair]", "int4range(1, 2)", "span(1, 2)", "ARRAY[ARRAY['calm']::moods]",
    "mood_since('calm')",
]  # fmt: skip


@pytest.fixture(scope="module")
def server(database: Database) -> Iterator[psycopg.Connection]:
    with database.connect(user="root") as connection:
        connection.execute(TYPES)
        yield connection
        connection.execute("DROP SCHEMA own_types CASCADE")


@pytest.fixture(scope="module")
def types(server: psycopg.Connection) -> OwnTypes:
    found = OwnTypes(Relations(server.execute(RELATIONS_SQL).fetchall()).types)
    server.execute(
        "CREATE TYPE late AS ENUM ('calm'); CREATE FUNCTION mood_since(late) RETURNS late LANGUAGE sql AS 'SELECT $1'"
    )
    return found


def in_binary(server: psycopg.Connection, types: OwnTypes, expression: str) -> object:
    result = server.cursor(binary=True).execute(f"SELECT {expression}").pgresult  # type: ignore[arg-type]
    assert result is not None
    assert result.fformat(0) == 1
    return types.reader(result.ftype(0), 1)(result.get_value(0, 0) or b"")


@pytest.mark.parametrize(("expression", "wanted"), READ)
def test_what_the_server_sends_is_read(
    server: psycopg.Connection, types: OwnTypes, expression: str, wanted: object
) -> None:
    assert in_binary(server, types, expression) == wanted


@pytest.mark.parametrize("expression", UNREAD)
def test_what_is_not_known_is_not_guessed(server: psycopg.Connection, types: OwnTypes, expression: str) -> None:
    assert type(in_binary(server, types, expression)) is Opaque


def test_types_say_nothing_more_about_what_may_be_bound(server: psycopg.Connection) -> None:
    assert not Relations(server.execute(RELATIONS_SQL).fetchall()).checked
