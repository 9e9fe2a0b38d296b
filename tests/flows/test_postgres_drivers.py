"""Drivers that are not Python's: node-postgres and JDBC. What they need is installed by the test."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import node
from support.postgres import Database, SqlGate

pytestmark = pytest.mark.slow  # they are downloaded where they are not there yet

_JAR = Path("/usr/share/java/postgresql.jar")

JAVASCRIPT = """
const { Client } = require('pg');
(async () => {
  const login = { host: '127.0.0.1', port: +process.env.PORT, database: 'shop', user: 'agent', password: process.env.TOKEN };
  const client = new Client(login);
  await client.connect();
  const out = {};
  out.simple = (await client.query('SELECT id, ssn, note FROM people ORDER BY id')).rows;
  out.bound = (await client.query('SELECT note FROM people WHERE id = $1', [2])).rows;
  out.named = (await client.query({ name: 'n', text: 'SELECT ssn FROM people WHERE id = $1', values: [1] })).rows;
  out.again = (await client.query({ name: 'n', text: 'SELECT ssn FROM people WHERE id = $1', values: [2] })).rows;
  try { await client.query('DELETE FROM people'); } catch (e) { out.denied = [e.code, e.detail.split(' ')[0]]; }
  await client.query('BEGIN');
  await client.query("UPDATE people SET note = 'changed' WHERE id = 1");
  await client.query('ROLLBACK');
  out.after = (await client.query('SELECT note FROM people WHERE id = 1')).rows;
  await client.end();
  console.log(JSON.stringify(out));
})().catch(e => { console.error(e); process.exit(1); });
"""

JAVA = """
import java.sql.*;
import java.util.Properties;

public class Calls {
    public static void main(String[] args) throws Exception {
        Properties login = new Properties();
        login.put("user", "agent");
        login.put("password", System.getenv("TOKEN"));
        try (Connection c = DriverManager.getConnection("jdbc:postgresql://127.0.0.1:" + args[0] + "/shop", login)) {
            try (PreparedStatement s = c.prepareStatement("SELECT ssn, note FROM people WHERE id = ?")) {
                for (int at = 0; at < 8; at++) {  // from the sixth on it is a statement with a name, in binary
                    s.setInt(1, 1 + at % 2);
                    try (ResultSet r = s.executeQuery()) { r.next(); System.out.println(r.getString(1) + " " + r.getString(2)); }
                }
            }
            try (Statement s = c.createStatement()) { s.executeUpdate("DELETE FROM people"); }
            catch (SQLException e) { System.out.println("denied " + e.getSQLState()); }
            c.setAutoCommit(false);
            try (Statement s = c.createStatement()) {
                s.setFetchSize(1);  // a portal that is read row by row
                try (ResultSet r = s.executeQuery("SELECT id FROM people ORDER BY id")) {
                    while (r.next()) System.out.println("id " + r.getInt(1));
                }
            }
            try (PreparedStatement s = c.prepareStatement("INSERT INTO people VALUES (?, ?, ?)")) {
                for (int at = 10; at < 13; at++) { s.setInt(1, at); s.setString(2, "x"); s.setString(3, "y"); s.addBatch(); }
                System.out.println("batch " + s.executeBatch().length);
            }
            c.rollback();
        }
    }
}
"""


@pytest.fixture(autouse=True)
def people(database: Database) -> Iterator[None]:
    database.fill(
        "CREATE TABLE people (id int PRIMARY KEY, ssn text, note text);"
        "INSERT INTO people VALUES (1, '123-45-6789', 'one'), (2, '987-65-4321', 'two')"
    )
    yield
    database.fill("DROP TABLE people")


def test_node_postgres(sql_gate: SqlGate) -> None:
    found = json.loads(node.run(JAVASCRIPT, "pg", PORT=str(sql_gate.port), TOKEN=sql_gate.authority.token()))
    hidden = "[REDACTED:field]"
    assert found == {
        "simple": [{"id": 1, "ssn": hidden, "note": "one"}, {"id": 2, "ssn": hidden, "note": "two"}],
        "bound": [{"note": "two"}],
        "named": [{"ssn": hidden}],
        "again": [{"ssn": hidden}],
        "denied": ["42501", "policy.denied"],
        "after": [{"note": "one"}],
    }


def test_jdbc(sql_gate: SqlGate, tmp_path: Path) -> None:
    java = shutil.which("java")
    if java is None:
        pytest.skip("there is no Java on this machine")
    if not _JAR.exists():
        command = ["apt-get", "install", "-y", "libpostgresql-jdbc-java"]
        subprocess.run(command, check=False, capture_output=True, timeout=300)
    (tmp_path / "Calls.java").write_text(JAVA)
    done = subprocess.run(
        [java, "-cp", str(_JAR), str(tmp_path / "Calls.java"), str(sql_gate.port)],
        env={"TOKEN": sql_gate.authority.token(), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = ["[REDACTED:field] one", "[REDACTED:field] two"] * 4
    assert done.stdout.splitlines() == [*rows, "denied 42501", "id 1", "id 2", "batch 3"]
