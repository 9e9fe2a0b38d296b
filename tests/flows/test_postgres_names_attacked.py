"""Attacks: one name that is one statement to the gateway and another one to the server. A hidden value never comes out."""

from collections.abc import Iterator

import psycopg
import pytest

from funcgate.wire.postgres.frames import Frame
from support.pgwire import Raw, errors
from support.postgres import Database, SqlGate

SSN = "hush hush"  # which no detector knows: only the column's rule hides it
PLAIN = "SELECT note FROM people"
LONG = "x" * 63  # what the server keeps of a name


@pytest.fixture(autouse=True)
def people(database: Database) -> Iterator[None]:
    database.fill(
        "CREATE TABLE people (id int PRIMARY KEY, ssn text, note text);"
        f"INSERT INTO people SELECT n, '{SSN}', 'note ' || n FROM generate_series(1, 5) n;"
        "CREATE FUNCTION put_another(c refcursor) RETURNS text LANGUAGE plpgsql AS"
        " $$ BEGIN CLOSE c; OPEN c FOR SELECT ssn || '' AS note FROM people; RETURN 'done'; END $$"
    )
    yield
    database.fill("DROP TABLE people CASCADE; DROP FUNCTION put_another")


class Caller(Raw):
    """Keeps all that it has heard."""

    def __init__(self, gate: SqlGate) -> None:
        super().__init__(gate.port)
        self.heard = b""
        self.log_in(gate.authority.token())

    def until(self, kind: bytes) -> list[Frame]:
        found = super().until(kind)
        self.heard += b"".join(message.raw for message in found)
        return found

    def sync(self) -> list[Frame]:
        self.send(b"S")
        return self.until(b"Z")

    def query(self, *texts: str) -> list[Frame]:
        found = []
        for text in texts:
            self.send(b"Q", text.encode() + b"\0")
            found += self.until(b"Z")
        return found

    def closed(self, what: str, name: str) -> None:
        self.send(b"C", f"{what}{name}\0".encode())

    def described(self, what: str, name: str) -> None:
        self.send(b"D", f"{what}{name}\0".encode())


@pytest.fixture(
    params=["SELECT ssn AS note FROM people", "SELECT ssn || '' AS note FROM people"], ids=["plain", "made"]
)
def hidden(request: pytest.FixtureRequest) -> str:
    """The server says of the one which column it is, and nothing of the other."""
    return str(request.param)


@pytest.fixture
def caller(sql_gate: SqlGate) -> Iterator[Caller]:
    with Caller(sql_gate) as found:
        yield found
        assert SSN.encode() not in found.heard


def test_statements_whose_long_names_are_one_to_the_server(caller: Caller, hidden: str) -> None:
    caller.parse(LONG + "1", PLAIN)
    caller.sync()
    caller.closed("S", LONG + "2")
    caller.parse(LONG + "2", hidden)
    caller.sync()
    caller.bind("", LONG + "1")
    caller.execute()
    caller.sync()


def test_portals_whose_long_names_are_one_to_the_server(caller: Caller, hidden: str) -> None:
    caller.query("BEGIN")
    caller.parse("a", PLAIN)
    caller.parse("b", hidden)
    caller.bind(LONG + "1", "a")
    caller.described("P", LONG + "1")
    caller.sync()
    caller.closed("P", LONG + "2")
    caller.bind(LONG + "2", "b")
    caller.sync()
    caller.execute(LONG + "1")
    caller.sync()


def test_a_cursor_that_is_closed_by_a_long_name(caller: Caller, hidden: str) -> None:
    caller.query("BEGIN", f"DECLARE {LONG} CURSOR FOR {PLAIN}")
    caller.closed("P", LONG + "2")
    caller.parse("b", hidden)
    caller.bind(LONG, "b")
    caller.sync()
    caller.query(f"FETCH 1 FROM {LONG}")


@pytest.mark.parametrize("name", ["x" * 60, '"Käse"', "É"], ids=["long", "quoted", "folded"])
@pytest.mark.parametrize("sql", ["PREPARE {} AS SELECT 1", "DECLARE {} CURSOR WITH HOLD FOR SELECT 1", "DEALLOCATE {}"])
def test_names_that_another_server_may_fold_or_cut(sql_gate: SqlGate, sql: str, name: str) -> None:
    """In a database of another encoding É is é, and a name of 40 letters has another length."""
    with sql_gate.connect() as connection, pytest.raises(psycopg.Error, match="name"):
        connection.execute(sql.format(name))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "closing", ["CLOSE p", "CLOSE ALL", "SELECT put_another('p')"], ids=["close", "all", "function"]
)
def test_a_portal_that_sql_closes(caller: Caller, hidden: str, closing: str) -> None:
    caller.query("BEGIN")
    caller.parse("a", PLAIN)
    caller.bind("p", "a")
    caller.described("P", "p")
    caller.sync()
    caller.query(closing, *() if "put_another" in closing else (f"DECLARE p CURSOR FOR {hidden}",))
    caller.execute("p")
    caller.sync()


@pytest.mark.parametrize(
    "ending",
    [("COMMIT AND CHAIN",), ("COMMIT; BEGIN",), ("ROLLBACK AND CHAIN",), ("COMMIT; BEGIN; SELECT 1",)],
    ids=" ".join,
)
def test_names_that_end_with_a_transaction_that_another_one_follows_at_once(
    caller: Caller, hidden: str, ending: tuple[str, ...]
) -> None:
    caller.query("BEGIN", f"DECLARE c CURSOR FOR {PLAIN}")
    caller.parse("a", PLAIN)
    caller.parse("b", hidden)
    caller.bind("p", "a")
    caller.described("P", "p")
    caller.sync()
    caller.query(*ending)
    caller.bind("c", "b")
    caller.sync()
    caller.query("ROLLBACK AND CHAIN" if errors(caller.query("FETCH 1 FROM c")) else "SELECT 1")
    caller.query(f"DECLARE p CURSOR FOR {hidden}")
    caller.execute("p")
    caller.sync()


def test_a_cursor_ends_with_a_chained_transaction(sql_gate: SqlGate) -> None:
    with sql_gate.connect() as connection:
        connection.execute("BEGIN")
        connection.execute("DECLARE c CURSOR FOR SELECT 1 AS one")
        connection.execute("COMMIT AND CHAIN")
        connection.execute("DECLARE c CURSOR FOR SELECT 2 AS two")
        assert connection.execute("FETCH 1 FROM c").fetchall() == [(2,)]
        connection.execute("COMMIT; BEGIN; DECLARE c CURSOR FOR SELECT 3 AS three")
        assert connection.execute("FETCH 1 FROM c").fetchall() == [(3,)]
        connection.execute("COMMIT")


def test_a_portal_under_the_name_of_a_cursor(caller: Caller, hidden: str) -> None:
    caller.query("BEGIN", f"DECLARE c CURSOR FOR {PLAIN}")
    caller.parse("", hidden)
    caller.bind("c", "")
    assert "already" in str(errors(caller.sync()))


def test_a_cursor_under_the_name_of_a_portal(caller: Caller, hidden: str) -> None:
    caller.query("BEGIN")
    caller.parse("", PLAIN)
    caller.bind("p", "")
    caller.sync()
    assert "already" in str(errors(caller.query(f"DECLARE p CURSOR FOR {hidden}")))


@pytest.mark.parametrize(
    ("make", "use", "end"),
    [("PREPARE n AS {}", "EXECUTE n", "DEALLOCATE n"), ("DECLARE n CURSOR FOR {}", "FETCH 1 FROM n", "CLOSE n")],
    ids=["prepared", "cursor"],
)
@pytest.mark.parametrize("asked", ["statement", "portal"])
def test_a_description_of_what_the_name_stood_for_before(
    caller: Caller, hidden: str, make: str, use: str, end: str, asked: str
) -> None:
    caller.query("BEGIN", make.format(PLAIN))
    caller.parse("s", use)
    caller.described("S", "s")
    if asked == "portal":
        caller.bind("q", "s")
        caller.described("P", "q")
    caller.sync()
    caller.query(end, make.format(hidden))
    if asked == "statement":
        caller.bind("q", "s")
    caller.execute("q")
    caller.sync()


def test_a_value_of_execute_that_a_cast_makes_another_one(sql_gate: SqlGate) -> None:
    with sql_gate.connect() as connection:
        connection.execute("PREPARE v(text) AS SELECT $1")
        for value in ("'secret, not'::char(6)", "'x'::varchar(1)", "CAST('12' AS int)", "12.7::int"):
            with pytest.raises(psycopg.Error, match="constants"):
                connection.execute(f"EXECUTE v({value})")  # type: ignore[arg-type]
        assert connection.execute("EXECUTE v(-1)").fetchall() == [("-1",)]
        connection.execute("DEALLOCATE v")


def test_discard_takes_portals_too(caller: Caller, hidden: str) -> None:
    caller.parse("a", PLAIN)
    caller.sync()
    caller.bind("p", "a")
    caller.described("P", "p")
    caller.send(b"H")
    for sql in ("DISCARD ALL", "BEGIN", f"DECLARE p CURSOR FOR {hidden}"):
        caller.parse("", sql)
        caller.bind("", "")
        caller.execute()
    caller.execute("p")
    caller.sync()
