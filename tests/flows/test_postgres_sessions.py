"""Sessions of PostgreSQL callers: who gets in, what a refusal leaves behind, what belongs to whom, how they end."""

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from support import forked
from support.gate import until
from support.pgwire import Raw, errors, kinds
from support.postgres import Database, SqlGate
from support.receivers import certificate
from support.workers import WORKERS


@pytest.fixture(autouse=True)
def things(database: Database) -> Iterator[None]:
    database.fill(
        "CREATE TABLE things (id int PRIMARY KEY, name text); INSERT INTO things VALUES (1, 'one'), (2, 'two')"
    )
    database.fill("CREATE TABLE people (id int, ssn text); INSERT INTO people VALUES (1, '123-45-6789')")
    yield
    database.fill("DROP TABLE things; DROP TABLE people CASCADE")


def count(database: Database, table: str = "things") -> int:
    with database.connect() as direct:
        found = direct.execute(f"SELECT count(*) FROM {table}").fetchone()  # type: ignore[arg-type]
    assert found is not None
    return int(found[0])


def gets_in(gate: SqlGate) -> bool:
    try:
        gate.connect().close()
    except psycopg.OperationalError:
        return False
    return True


# Getting in.


@pytest.mark.parametrize(
    ("changes", "sqlstate", "says"),
    [
        ({"password": "nonsense"}, "28000", "The token is not accepted"),
        ({"password": ""}, "", "no password"),
        ({"dbname": "other"}, "3D000", "no such database"),
        ({"options": "-c role=root"}, "42601", "may not be set"),
        ({"replication": "database"}, "42601", "Replication is not carried"),
        ({"client_encoding": "LATIN1"}, "42601", "client_encoding must be UTF8"),
    ],
)
def test_who_does_not_get_in(sql_gate: SqlGate, changes: dict[str, str], sqlstate: str, says: str) -> None:
    with pytest.raises(psycopg.OperationalError, match=says):
        sql_gate.connect(**changes)


def test_a_target_has_so_many_connections_and_no_more(make_sql_gate: Callable[..., SqlGate]) -> None:
    gate = make_sql_gate(target={"limits": {"max_connections": 2}}).start()
    there = [gate.connect() for _ in range(2 * WORKERS)]
    with pytest.raises(psycopg.OperationalError, match="too many connections"):
        gate.connect()
    for connection in there:
        connection.close()
    until(lambda: gets_in(gate))


def test_a_caller_without_any_policy_does_not_reach_the_database(sql_gate: SqlGate, database: Database) -> None:
    with pytest.raises(psycopg.OperationalError, match="This call is not allowed"):
        sql_gate.connect(password=sql_gate.authority.token("stranger", ("nobody",)))
    with database.connect() as direct:
        found = direct.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%stranger%'"
        ).fetchone()
    assert found == (0,)


def test_the_name_of_who_calls_is_told_to_the_database(sql_gate: SqlGate, database: Database) -> None:
    with sql_gate.connect(application_name="nightly job"), database.connect() as direct:
        names = direct.execute("SELECT application_name FROM pg_stat_activity").fetchall()
    assert ("funcgate agent-1 nightly job",) in names


@pytest.mark.parametrize("password", ["\u00aa I\u00adX\u00a0\u2168 ü", "ü\ue000 is private", "\u0627 of one way"])
def test_the_vaulted_password_may_be_any_text(
    make_sql_gate: Callable[..., SqlGate], database: Database, tmp_path: Path, password: str
) -> None:
    """The server keeps it as SASLprep makes it (RFC 4013), or as it is where that may not be done."""
    with database.connect(user="root", dbname="postgres") as root:
        root.execute("DROP ROLE IF EXISTS odd")
        root.execute(psycopg.sql.SQL("CREATE ROLE odd LOGIN PASSWORD {}").format(password))
    (tmp_path / "odd").write_text(password)
    credential = {"type": "password", "user": "odd", "secret": f"file:{tmp_path / 'odd'}"}
    with make_sql_gate(target={"credential": credential}).start().connect() as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("odd",)


def test_over_tls_on_both_sides(make_sql_gate: Callable[..., SqlGate], tmp_path: Path) -> None:
    _, cert = certificate(tmp_path)
    key = tmp_path / "key.pem"
    secured = Database().start(cert=cert, key=key)
    try:
        tls = {"cert": str(cert), "key": str(key)}
        gate = make_sql_gate(listen={"tls": tls}, target={"url": secured.url, "tls": {"ca": str(cert)}}).start(
            ready=False
        )
        until(lambda: gate.port)
        with gate.connect(sslmode="verify-full", sslrootcert=str(cert)) as connection:
            assert connection.pgconn.ssl_in_use
            found = connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
            assert found == (True,)
        # Bytes in clear behind the request for TLS are never taken for the first ones inside of it.
        with socket.create_connection(("127.0.0.1", gate.port), timeout=5) as raw:
            raw.sendall(struct.pack("!II", 8, 1234 << 16 | 5679) + struct.pack("!II", 9, 3 << 16) + b"\0")
            assert raw.recv(1) == b"E"
    finally:
        secured.stop()


def test_a_database_without_tls_is_not_spoken_to_in_clear(
    make_sql_gate: Callable[..., SqlGate], database: Database, tmp_path: Path
) -> None:
    _, cert = certificate(tmp_path)
    gate = make_sql_gate(target={"tls": {"ca": str(cert)}}).start()
    with pytest.raises(psycopg.OperationalError, match="The target cannot be reached"):
        gate.connect()


def test_protocol_3_2_is_negotiated_down(sql_gate: SqlGate) -> None:
    with Raw(sql_gate.port) as raw:
        heard = raw.log_in(sql_gate.authority.token(), minor=2, **{"_pq_.later": "1"})
        negotiated = next(message for message in heard if message.kind == b"v")
        assert negotiated.payload == struct.pack("!II", 0, 1) + b"_pq_.later\0"
        assert heard[-1].kind == b"Z"


# Refusals.


def test_a_refusal_in_a_transaction_is_an_error_like_any_other(sql_gate: SqlGate, database: Database) -> None:
    with sql_gate.connect(autocommit=False) as connection:
        connection.execute("INSERT INTO things VALUES (3, 'three')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="This call is not allowed") as refused:
            connection.execute("DELETE FROM things")
        detail = refused.value.diag.message_detail or ""
        assert detail.startswith("policy.denied call ")
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            connection.execute("SELECT 1")
        connection.rollback()
        assert connection.execute("SELECT count(*) FROM things").fetchone() == (2,)
    denied = [entry for entry in sql_gate.call_entries(detail.split()[-1]) if entry["kind"] == "denied"]
    assert [entry["code"] for entry in denied] == ["policy.denied"]


def test_a_refusal_in_a_pipeline_undoes_what_came_before_it(sql_gate: SqlGate, database: Database) -> None:
    with sql_gate.connect() as connection:
        statements = ["INSERT INTO things VALUES (3, 'a')", "DELETE FROM things", "INSERT INTO things VALUES (4, 'b')"]
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.pipeline():
            [connection.execute(sql) for sql in statements]  # type: ignore[arg-type]
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert count(database) == 2


def test_of_several_statements_none_is_sent_before_all_are_judged(sql_gate: SqlGate, database: Database) -> None:
    with sql_gate.connect() as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("INSERT INTO things VALUES (3, 'three'); DELETE FROM things")
        assert connection.execute("SELECT count(*) FROM things").fetchone() == (2,)
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("INSERT INTO things VALUES (3, 'x'); INSERT INTO things VALUES (1, 'x'); SELECT 1")
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert count(database) == 2


@pytest.mark.parametrize("sql", ["SELEC 1", "SELECT 1; SELEC 2", "EXECUTE something", "SELECT 'open"])
def test_what_cannot_be_parsed_is_refused_and_the_session_goes_on(sql_gate: SqlGate, sql: str) -> None:
    with sql_gate.connect() as connection:
        with pytest.raises(psycopg.Error):
            connection.execute(sql)
        with pytest.raises(psycopg.Error):
            connection.execute(sql, prepare=True)
        assert connection.execute("").fetchall is not None
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_function_calls_and_unknown_messages_are_refused(sql_gate: SqlGate) -> None:
    with Raw(sql_gate.port) as raw:
        raw.log_in(sql_gate.authority.token())
        raw.send(b"F", b"\0\0\0\1\0\0\0\0\0\0")
        heard = raw.until(b"Z")
        assert kinds(heard) == "EZ"
        assert errors(heard)[0]["M"] == "Function-call messages are not carried."
        raw.send(b"z", b"nobody knows this one")
        assert kinds(raw.until(b"Z")) == "E"


def test_a_name_means_one_statement_here_and_at_the_database(sql_gate: SqlGate, database: Database) -> None:
    """Parse needs less than to run: were the second Parse judged for the name of the first, a DELETE would run as a SELECT."""
    with Raw(sql_gate.port) as raw:
        raw.log_in(sql_gate.authority.token())
        raw.parse("s", "DELETE FROM things")
        raw.send(b"S")
        assert kinds(raw.until(b"Z")) == "1Z"
        raw.parse("s", "SELECT 1")
        raw.send(b"S")
        assert kinds(raw.until(b"Z")) == "EZ"
        raw.bind("", "s")
        raw.execute()
        raw.send(b"S")
        heard = raw.until(b"Z")
        assert kinds(heard) == "EZ"
        assert errors(heard)[0]["C"] == "42501"
    assert count(database) == 2


def test_a_refusal_skips_the_rest_up_to_sync(sql_gate: SqlGate, database: Database) -> None:
    with Raw(sql_gate.port) as raw:
        raw.log_in(sql_gate.authority.token())
        raw.parse("", "DELETE FROM things")
        raw.bind("", "")
        raw.execute()
        raw.parse("", "INSERT INTO things VALUES (5, 'five')")
        raw.bind("", "")
        raw.execute()
        raw.send(b"S")
        assert kinds(raw.until(b"Z")) == "EZ"
        raw.send(b"Q", b"SELECT 1\0")
        assert kinds(raw.until(b"Z")) == "TDCZ"
    assert count(database) == 2


def test_a_reload_decides_the_next_statement_of_a_session(make_sql_gate: Callable[..., SqlGate]) -> None:
    gate = make_sql_gate().start()
    with gate.connect() as connection:
        connection.execute("SELECT count(*) FROM things", prepare=True)
        gate.file.write_text(gate.file.read_text().replace("shop.*", "shop.show"))
        until(lambda: gate.logged("configuration reloaded"))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT count(*) FROM things", prepare=True)
        assert connection.execute("SHOW timezone").fetchone() is not None


@pytest.mark.parametrize("prepare", [False, True])
def test_a_reload_hides_columns_of_statements_that_were_prepared_before(
    make_sql_gate: Callable[..., SqlGate], database: Database, prepare: bool
) -> None:
    """Attack: prepare a statement, and go on with it for ever under the rules of that time."""
    sql = "SELECT name FROM things WHERE id > 0"
    gate = make_sql_gate().start()
    with gate.connect() as connection:
        for _ in range(3):
            before = connection.execute(sql, prepare=prepare).fetchall()
        reloaded = len(gate.logged("configuration reloaded"))
        with gate.file.open("a") as out:
            out.write("\nmasking:\n- functions: [shop.*]\n  fields: [things.name]\n")
        until(lambda: len(gate.logged("configuration reloaded")) > reloaded)
        for _ in range(3):
            assert set(connection.execute(sql, prepare=prepare).fetchall()) == {("[REDACTED:field]",)} != set(before)


# What belongs to whom.


def test_nobody_cancels_the_statement_of_another(sql_gate: SqlGate, database: Database) -> None:
    with sql_gate.connect() as connection, Raw(sql_gate.port) as other:
        heard = other.log_in(sql_gate.authority.token())
        key = next(message.payload for message in heard if message.kind == b"K")
        pid = connection.info.backend_pid
        assert pid != int.from_bytes(key[:4], "big")

        def cancel(number: int, secret: bytes) -> None:
            with socket.create_connection(("127.0.0.1", sql_gate.port), timeout=5) as raw:
                raw.sendall(struct.pack("!III", 16, 1234 << 16 | 5678, number) + secret)
                assert raw.recv(1) == b""

        def once_it_runs(sql: str, do: Callable[..., object], *args: object) -> threading.Thread:
            def wait() -> None:
                with database.connect() as direct:
                    running = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query = %s"
                    until(lambda: direct.execute(running, (sql,)).fetchone())
                do(*args)

            waiting = threading.Thread(target=wait)
            waiting.start()
            return waiting

        theirs = once_it_runs("SELECT pg_sleep(1), 1", cancel, pid, key[4:])
        found = connection.execute("SELECT pg_sleep(1), 1").fetchone()
        assert found is not None
        assert found[1] == 1
        theirs.join()
        once_it_runs("SELECT pg_sleep(46)", connection.cancel)
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(46)")
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_nothing_of_a_session_is_left_to_the_next(sql_gate: SqlGate) -> None:
    with sql_gate.connect() as first:
        first.execute("SET work_mem = '77MB'")
        first.execute("CREATE TEMP TABLE mine AS SELECT 1 AS a")
        found = first.execute("SELECT pg_backend_pid()").fetchone()
    with sql_gate.connect() as second:
        assert second.execute("SHOW work_mem").fetchone() != ("77MB",)
        with pytest.raises(psycopg.errors.UndefinedTable):
            second.execute("SELECT * FROM mine")
        assert second.execute("SELECT pg_backend_pid()").fetchone() != found


def test_a_statement_ends_when_its_caller_goes_away(sql_gate: SqlGate, database: Database) -> None:
    running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(47)'"
    with database.connect() as direct:
        raw = Raw(sql_gate.port)
        raw.log_in(sql_gate.authority.token())
        raw.send(b"Q", b"SELECT pg_sleep(47)\0")
        until(lambda: direct.execute(running).fetchone() == (1,))
        raw.close()
        until(lambda: direct.execute(running).fetchone() == (0,))


def test_a_statement_that_takes_too_long_is_ended_and_the_session_goes_on(
    make_sql_gate: Callable[..., SqlGate],
) -> None:
    gate = make_sql_gate(target={"limits": {"timeout": "1s"}}).start()
    with gate.connect() as connection:
        with pytest.raises(psycopg.OperationalError, match="The target took too long"):
            connection.execute("SELECT pg_sleep(20)")
        assert connection.execute("SELECT 1").fetchone() == (1,)


# What comes out.


def test_hidden_columns_and_detected_values_are_hidden_everywhere(sql_gate: SqlGate) -> None:
    secret = "123-45-6789"
    with sql_gate.connect() as connection:
        connection.execute("CREATE VIEW behind AS SELECT ssn AS harmless FROM people")
        for sql in (
            "SELECT ssn FROM people", "SELECT * FROM people", "SELECT upper(p.ssn) AS x FROM people p", "SELECT * FROM behind",
            "WITH a AS (SELECT ssn s FROM people) SELECT substr(s, 1, 3), substr(s, 4) FROM a",
            "SELECT ssn::text::bytea FROM people",
            "SELECT to_jsonb(people) FROM people", "SELECT array_agg(ssn) FROM people",
            "INSERT INTO people SELECT * FROM people RETURNING ssn",
        ):  # fmt: skip
            for binary in (False, True):
                found = connection.cursor(binary=binary).execute(sql).fetchall()  # type: ignore[call-overload]
                assert found
                assert "123" not in str(found), sql
        for sql in ("COPY people TO STDOUT", "COPY (SELECT ssn FROM people) TO STDOUT (FORMAT csv)"):
            with connection.cursor().copy(sql) as copy:  # type: ignore[arg-type]
                assert b"123-" not in b"".join(map(bytes, copy))
        for sql in ("COPY people TO STDOUT (FORMAT csv, DELIMITER 'ä')", "COPY people TO STDOUT (FORMAT binary)"):
            with pytest.raises(psycopg.Error), connection.cursor().copy(sql) as copy:  # type: ignore[arg-type]
                list(copy)
        with pytest.raises(psycopg.errors.InvalidTextRepresentation) as told:
            connection.execute("SELECT CAST(ssn AS int) FROM people")
        assert "123" not in str(told.value)
        assert connection.execute("SELECT 'ann@example.com'").fetchone() == ("[REDACTED:email]",)
    assert secret not in sql_gate.file.parent.joinpath("log.txt").read_text()


def test_notifications_come_unasked_masked_and_recorded(make_sql_gate: Callable[..., SqlGate]) -> None:
    gate = make_sql_gate(masking=[{"functions": ["shop.*"], "detect": "all"}]).start()
    with gate.connect() as listening, gate.connect() as telling:
        listening.execute("LISTEN things")
        telling.execute("NOTIFY things, 'from ann@example.com'")
        (heard,) = listening.notifies(timeout=60, stop_after=1)
    assert (heard.channel, heard.payload) == ("things", "from [REDACTED:email]")
    (entries,) = gate.calls_of("shop:notification")
    assert [entry["kind"] for entry in entries][:3] == ["arrived", "allowed", "chunk"]
    assert "from [REDACTED:email]" in str(entries[2]["body"])


def test_the_record_has_statement_values_and_rows(sql_gate: SqlGate) -> None:
    with sql_gate.connect() as connection:
        connection.execute("SELECT name FROM things WHERE id = %s AND name = %s", (2, "two"))
    call = next(c for c in reversed(sql_gate.calls_of("shop.select")) if "FROM things WHERE id" in str(c[0]["args"]))
    arrived, chunk = call[0], next(entry for entry in call if entry["kind"] == "chunk")
    assert arrived["args"]["parameters"] == ["2", "two"]
    assert arrived["args"]["tables"] == ["things"]
    assert chunk["body"].splitlines() == ['{"columns":["name"]}', '["two"]', '{"tag":"SELECT 1"}']
    assert [entry["kind"] for entry in call][:3] == ["arrived", "allowed", "chunk"]
    assert sql_gate.ended(arrived["call"])["outcome"] == "complete"


def test_a_replay_shows_statements_values_and_rows(sql_gate: SqlGate) -> None:
    with sql_gate.connect() as connection:
        connection.execute("SELECT name FROM things WHERE id = %s AND name = %s", (2, "two"))
        connection.execute("UPDATE things SET name = %s WHERE id > %s", ("many", 0))
    last = sql_gate.calls_of("shop.update")[-1][0]
    sql_gate.ended(last["call"])
    played = forked.run("audit", "replay", last["session"], "--no-wait", "--full", "--config", sql_gate.file)
    assert played.returncode == 0, played.stderr
    read, written = played.stdout.index("shop.select"), played.stdout.index("shop.update")
    selected, updated = played.stdout[read:written], played.stdout[written:]
    for told in ("SELECT name FROM things WHERE id = $1 AND name = $2", '["2","two"]', '["two"]', "SELECT 1"):
        assert told in selected
    for told in ("UPDATE things SET name = $1 WHERE id > $2", '["many","0"]', "UPDATE 2"):
        assert told in updated


# The end.


def test_a_drain_lets_a_transaction_end(make_sql_gate: Callable[..., SqlGate], database: Database) -> None:
    gate = make_sql_gate().start()
    idle = gate.connect()
    with gate.connect(autocommit=False) as busy:
        busy.execute("INSERT INTO things VALUES (9, 'nine')")
        ending = threading.Thread(target=gate.stop)
        ending.start()
        time.sleep(0.3)
        busy.execute("SELECT 1")
        busy.commit()
    ending.join(30)
    assert gate.process is not None
    assert gate.process.returncode == 0
    assert count(database) == 3
    with pytest.raises(psycopg.OperationalError, match="going away"):
        idle.execute("SELECT 1")


def test_without_tls_no_token_is_taken_but_on_loopback(make_sql_gate: Callable[..., SqlGate]) -> None:
    gate = make_sql_gate(listen={"postgres": "0.0.0.0:0"})
    with pytest.raises(AssertionError, match="add 'tls', or listen on a loopback address"):
        gate.start()


def test_direct_tls_is_not_mistaken_for_a_startup_packet(sql_gate: SqlGate) -> None:
    context = ssl.create_default_context()
    with socket.create_connection(("127.0.0.1", sql_gate.port), timeout=5) as plain, pytest.raises(OSError):
        context.wrap_socket(plain, server_hostname="localhost")


def test_a_session_holds_so_many_statements_and_no_more(sql_gate: SqlGate) -> None:
    with Raw(sql_gate.port) as raw:
        raw.log_in(sql_gate.authority.token())
        long = "SELECT 1 -- " + "x" * 200_000
        for at in range(400):
            raw.parse(f"s{at}", long)
            raw.send(b"S")
            heard = raw.until(b"Z")
            if kinds(heard) != "1Z":
                break
        assert at in range(100, 200)
        assert "close some" in errors(heard)[0]["M"]
        raw.send(b"Q", b"DISCARD ALL\0")
        assert kinds(raw.until(b"Z")).replace("S", "") == "CZ"
        raw.parse("s1", "SELECT 1")
        raw.send(b"S")
        assert kinds(raw.until(b"Z")) == "1Z"


# Whose connection it is.


@pytest.mark.parametrize("through", ["simple", "extended"])
@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("SET application_name = 'reports'", "funcgate agent-7 reports"),
        ("set application_name to 'funcgate somebody-else'", "funcgate agent-7 funcgate somebody-else"),
        ("SET application_name = 'it''s; DROP TABLE things --'", "funcgate agent-7 it's; drop table things --"),
        ("RESET application_name", "funcgate agent-7 began"),
        ("SET application_name = 'a' -- ;\n; SET application_name = 'funcgate x'", "funcgate agent-7 funcgate x"),
    ],
)
def test_the_database_knows_who_calls(sql_gate: SqlGate, database: Database, sql: str, name: str, through: str) -> None:
    login = {"password": sql_gate.authority.token(sub="agent-7"), "application_name": "began"}
    with sql_gate.connect(**login) as connection, database.connect() as direct:
        connection.execute(sql, prepare=through == "extended" and "--" not in sql)  # type: ignore[call-overload]
        connection.execute("SELECT 1")
        names = direct.execute("SELECT application_name FROM pg_stat_activity").fetchall()
        assert (name,) in names, names
        for attack in ("SET LOCAL application_name = 'x'", "SELECT set_config('application_name', 'x', false)"):
            with pytest.raises(psycopg.Error, match="not allowed"):
                connection.execute(attack)  # type: ignore[arg-type]
    assert count(database) == 2


def test_a_local_name_begins_with_the_caller_s_too(make_sql_gate: Callable[..., SqlGate], database: Database) -> None:
    """Where the target is not guarded, so that SET LOCAL may be asked for."""
    gate = make_sql_gate(target={"preset": "none"}).start()
    with gate.connect() as connection, database.connect() as direct:
        connection.execute("BEGIN; SET LOCAL application_name = 'funcgate somebody-else'")
        names = direct.execute("SELECT application_name FROM pg_stat_activity").fetchall()
        assert ("funcgate agent-1 funcgate somebody-else",) in names, names
