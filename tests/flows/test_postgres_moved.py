"""What was described under one search path runs under another: its columns are those of other tables then."""

from collections.abc import Callable

import pytest

from support.pgwire import Raw
from support.postgres import Database, SqlGate

TABLES = """
DROP SCHEMA IF EXISTS hr CASCADE; CREATE SCHEMA hr; DROP TABLE IF EXISTS public.people;
CREATE TABLE public.people (note text); INSERT INTO public.people VALUES ('open');
CREATE TABLE hr.people (note text); INSERT INTO hr.people VALUES ('secret');
"""
POLICIES = [{"name": "all", "effect": "allow", "functions": ["shop.*"], "principals": ["group:agents"]}]
MASKING = [{"functions": ["shop.*"], "fields": ["hr.people.note"]}]
MOVING = [
    "SET search_path = hr",
    "BEGIN; SET LOCAL search_path = hr",
    "ALTER TABLE public.people RENAME TO others; SET search_path = public, hr",
]


@pytest.mark.parametrize("moving", MOVING)
def test_what_was_described_before_the_path_moved(
    make_sql_gate: Callable[..., SqlGate], database: Database, moving: str
) -> None:
    """Attack: have a statement described where its column is shown, and run it where the same name is hidden."""
    database.fill(TABLES)
    gate = make_sql_gate(policies=POLICIES, masking=MASKING, target={"preset": "none"}).start()
    try:
        with Raw(gate.port) as caller:
            caller.log_in(gate.authority.token())
            caller.parse("p", "SELECT note FROM people")
            caller.send(b"D", b"Sp\0")
            caller.send(b"S")
            caller.until(b"Z")
            for wanted in (b"open", b"[REDACTED:field]", b"[REDACTED:field]"):
                caller.bind("", "p")
                caller.execute()
                caller.send(b"S")
                heard = b"".join(found.raw for found in caller.until(b"Z"))
                assert b"secret" not in heard
                assert wanted in heard
                if wanted == b"open":
                    caller.send(b"Q", moving.encode() + b"\0")
                    caller.until(b"Z")
    finally:
        database.fill("DROP SCHEMA IF EXISTS hr CASCADE; DROP TABLE IF EXISTS public.people, public.others")


def test_what_was_described_before_another_session_moved_it(
    make_sql_gate: Callable[..., SqlGate], database: Database
) -> None:
    """Attack: the same, with a second session that takes the first table away: nobody has read the catalogue since."""
    database.fill(TABLES)
    gate = make_sql_gate(policies=POLICIES, masking=MASKING, target={"preset": "none"}).start()
    try:
        with Raw(gate.port) as caller, gate.connect() as other:
            caller.log_in(gate.authority.token())
            caller.send(b"Q", b"SET search_path = public, hr\0")
            caller.until(b"Z")
            caller.parse("p", "SELECT note FROM people")
            caller.send(b"D", b"Sp\0")
            caller.send(b"S")
            caller.until(b"Z")
            for at, wanted in enumerate((b"open", b"open", b"[REDACTED:field]")):
                if at == 2:
                    other.execute("ALTER TABLE public.people RENAME TO others")
                caller.bind("", "p")
                caller.execute()
                caller.send(b"S")
                heard = b"".join(found.raw for found in caller.until(b"Z"))
                assert b"secret" not in heard
                assert wanted in heard
    finally:
        database.fill("DROP SCHEMA IF EXISTS hr CASCADE; DROP TABLE IF EXISTS public.people, public.others")
