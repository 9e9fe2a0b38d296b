"""Statements run with the role that is meant for their caller, and nothing that a caller says takes it off again."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from support.authority import Authority
from support.gate import until
from support.pgwire import Raw, errors
from support.postgres import Database, SqlGate

ODD = 'odd "role"; DROP TABLE secret'  # a name is a name
ROLES = f"""
DROP TABLE IF EXISTS secret, shared; DROP ROLE IF EXISTS reader; DROP ROLE IF EXISTS writer;
DROP ROLE IF EXISTS "{ODD.replace('"', '""')}";
CREATE ROLE reader; CREATE ROLE writer; CREATE ROLE "{ODD.replace('"', '""')}";
GRANT reader, writer, "{ODD.replace('"', '""')}" TO owner;
CREATE TABLE secret (id int); CREATE TABLE shared (id int); ALTER TABLE secret OWNER TO owner; ALTER TABLE shared OWNER TO owner;
GRANT SELECT ON shared TO reader, writer; GRANT INSERT ON shared TO writer;
"""
WHO = "SELECT current_user::text, session_user::text"


@pytest.fixture(scope="module")
def server() -> Iterator[Database]:
    """One of its own: roles are the whole server's."""
    database = Database().start()
    with database.connect(user="root") as connection:
        connection.execute(ROLES)  # type: ignore[arg-type]
    yield database
    database.stop()


@pytest.fixture(scope="module")
def gate(authority: Authority, tmp_path_factory: pytest.TempPathFactory, server: Database) -> Iterator[SqlGate]:
    role = {"claim": "db_role", "among": ["writer", ODD, "missing"], "groups": {"agents": "reader"}}
    policies = [
        {"name": "all", "effect": "allow", "functions": ["shop.*"], "principals": ["group:agents", "group:guests"]}
    ]
    folder = tmp_path_factory.mktemp("gate")
    gate = SqlGate(folder, authority, server, target={"role": role}, policies=policies).start()
    yield gate  # type: ignore[misc]
    assert gate.stop() == 0


def login(gate: SqlGate, **token: Any) -> psycopg.Connection[Any]:
    return gate.connect(password=gate.authority.token(**token))


def test_a_group_s_role(gate: SqlGate) -> None:
    with login(gate) as session:
        assert session.execute(WHO).fetchone() == ("reader", "owner")
        session.execute("SELECT * FROM shared")
        for sql in ("SELECT * FROM secret", "INSERT INTO shared VALUES (1)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
                session.execute(sql)  # type: ignore[arg-type]
    entries = [call for call in gate.calls_of("shop:connect") if call[0]["kind"] == "arrived"]
    assert entries[-1][0]["args"]["role"] == "reader"


@pytest.mark.parametrize("role", ["writer", ODD], ids=["writer", "odd"])
def test_a_claim_s_role(gate: SqlGate, role: str) -> None:
    with login(gate, db_role=role) as session:
        assert session.execute(WHO).fetchone() == (role, "owner")


@pytest.mark.parametrize("claim", ["owner", "root", "none", "Writer", ["writer"], ""], ids=repr)
def test_a_claim_that_names_another_role(gate: SqlGate, claim: Any) -> None:
    """Attack: have the issuer say the name of the gateway's own role."""
    with login(gate, db_role=claim) as session:
        assert session.execute(WHO).fetchone() == ("reader", "owner")


def test_who_has_no_role_does_not_get_in(gate: SqlGate) -> None:
    with pytest.raises(psycopg.OperationalError, match="not allowed"):
        login(gate, groups=("guests",))


def test_a_role_that_is_not_there(gate: SqlGate) -> None:
    with pytest.raises(psycopg.OperationalError, match="cannot be reached"):
        login(gate, db_role="missing")


TAKING_OFF = [
    "SET ROLE NONE", "SET ROLE owner", "SET ROLE writer", "RESET ROLE", "SET LOCAL ROLE NONE", "SET SESSION ROLE NONE",
    "SET role = 'none'", 'SET "role" TO DEFAULT', "SET SESSION AUTHORIZATION owner", "SET SESSION AUTHORIZATION DEFAULT",
    "RESET SESSION AUTHORIZATION", "SET LOCAL session_authorization = 'owner'",
    "SELECT set_config('role', 'none', false)", "SELECT pg_catalog.set_config('ro' || 'le', 'none', false)",
    "UPDATE pg_settings SET setting = 'none' WHERE name = 'role'", "DO $$ BEGIN SET ROLE NONE; END $$",
    "CREATE FUNCTION off() RETURNS void LANGUAGE plpgsql AS 'BEGIN SET ROLE NONE; END'", "ALTER ROLE owner SET role = 'none'",
    "WITH a AS (SELECT set_config('role', 'none', false)) SELECT * FROM a",
    "PREPARE p AS SELECT set_config('role', 'none', false)",
    "DECLARE c CURSOR WITH HOLD FOR SELECT set_config('role', 'none', false)",
    "COPY (SELECT set_config('role', 'none', false)) TO STDOUT", "EXPLAIN ANALYZE SELECT set_config('role', 'none', false)",
    "BEGIN; SET LOCAL ROLE NONE", "SELECT 1; RESET ROLE; SELECT 2",
    "SELECT 1; DISCARD ALL", "DISCARD ALL; SELECT 1", "BEGIN; DISCARD ALL",
]  # fmt: skip


@pytest.mark.parametrize("extended", [False, True])
def test_nothing_takes_the_role_off(gate: SqlGate, extended: bool) -> None:
    session = login(gate)
    session.prepare_threshold = None  # a text that was refused may end what is prepared
    for sql in TAKING_OFF:
        if extended:
            session.pgconn.exec_params(sql.encode(), None)
        else:
            session.pgconn.exec_(sql.encode())
        session.pgconn.exec_(b"EXECUTE p")
        session.pgconn.exec_(b"ROLLBACK")
        assert session.execute(WHO).fetchone() == ("reader", "owner"), sql
    session.close()


def test_what_pools_send_leaves_the_role(gate: SqlGate) -> None:
    with login(gate) as session:
        for sql in (
            "RESET ALL",
            "DEALLOCATE ALL",
            "UNLISTEN *",
            "CLOSE ALL",
            "DISCARD TEMP",
            "DISCARD PLANS",
            "DISCARD ALL",
            "ROLLBACK",
        ):
            session.execute(sql)  # type: ignore[arg-type]
            assert session.execute(WHO).fetchone() == ("reader", "owner")


@pytest.mark.parametrize("prepare", [False, True])
def test_a_session_does_not_outlive_its_role(gate: SqlGate, prepare: bool) -> None:
    """Attack: keep a session open from before another role was meant for its caller."""
    session = login(gate, subject="late")
    for _ in range(2):  # from here on it is a plain one
        assert session.execute(WHO, prepare=prepare).fetchone() == ("reader", "owner")
    before = gate.file.read_text()
    assert "agents: reader" in before
    try:
        reloaded = len(gate.logged("configuration reloaded"))
        gate.file.write_text(before.replace("agents: reader", "agents: writer"))
        until(lambda: len(gate.logged("configuration reloaded")) > reloaded)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="connect again"):
            session.execute(WHO, prepare=prepare)
        with login(gate) as another:
            assert another.execute(WHO).fetchone() == ("writer", "owner")
    finally:
        session.close()
        reloaded = len(gate.logged("configuration reloaded"))
        gate.file.write_text(before)
        until(lambda: len(gate.logged("configuration reloaded")) > reloaded)


NAMED = "SELECT current_setting('application_name')"


@pytest.mark.parametrize("extended", [False, True])
def test_discard_all_leaves_the_role_and_the_name(gate: SqlGate, extended: bool) -> None:
    with login(gate) as session:
        session.execute("SET application_name = 'mine'")
        session.execute("SET timezone = 'Asia/Tokyo'")
        session.execute("PREPARE p AS SELECT 1")
        for _ in range(2):
            found = (
                session.pgconn.exec_params(b"DISCARD ALL", None) if extended else session.pgconn.exec_(b"DISCARD ALL")
            )
            assert found.command_status == b"DISCARD ALL", found.error_message
            assert session.execute(WHO).fetchone() == ("reader", "owner")
        name = session.execute(NAMED).fetchone()
        assert name is not None
        assert name[0].startswith("funcgate ")
        assert session.execute("SHOW timezone").fetchone() == ("UTC",)
        assert session.pgconn.exec_(b"EXECUTE p").error_message
    (entries, *_) = [call for call in gate.calls_of("shop.set") if "DISCARD ALL" in str(call[0].get("args"))][-1:]
    body = "".join(str(entry.get("body", "")) for entry in entries)
    assert body.endswith('{"tag":"DISCARD ALL"}\n{"role":"reader"}\n'), body


def test_discard_all_where_it_may_not_run(gate: SqlGate) -> None:
    """Inside of a transaction the database refuses it; in a pipeline where more follows, the gateway."""
    with login(gate) as session:
        session.execute("BEGIN")
        with pytest.raises(psycopg.errors.ActiveSqlTransaction):
            session.execute("DISCARD ALL")
        session.execute("ROLLBACK")
        assert session.execute(WHO).fetchone() == ("reader", "owner")
    with Raw(gate.port) as raw:
        raw.log_in(gate.authority.token())
        raw.parse("", "DISCARD ALL")
        raw.bind("", "")
        raw.execute()
        raw.parse("", WHO)
        raw.bind("", "")
        raw.execute()
        raw.send(b"S")
        assert [error["C"] for error in errors(raw.until(b"Z"))] == ["42501"]
        raw.send(b"Q", WHO.encode() + b"\0")
        assert b"reader" in b"".join(message.raw for message in raw.until(b"Z") if message.kind == b"D")


def test_a_session_whose_role_is_not_to_be_had_again_ends(gate: SqlGate, server: Database) -> None:
    """Attack: the role is taken from the gateway's user, and DISCARD ALL would leave the caller with that one."""
    session = login(gate)
    assert session.execute(WHO).fetchone() == ("reader", "owner")
    with server.connect(user="root") as root:
        root.execute("REVOKE reader FROM owner")
        try:
            with pytest.raises(psycopg.Error):
                session.execute("DISCARD ALL")
            with pytest.raises(psycopg.OperationalError):
                session.execute(WHO)
        finally:
            root.execute("GRANT reader TO owner")
