"""Statements that no honest caller sends: of a small grammar, out of the lists of the other tests, and changed word by word."""

import random
import re

from support.leaks import LEAKS
from support.statements import READS, WRITES

_KNOWN = [
    line for text in (LEAKS, READS, WRITES) for line in (text.splitlines() if isinstance(text, str) else text) if line
]
_WORDS = re.compile(r"\s+|\w+|'[^']*'|\"[^\"]*\"|.", re.DOTALL)
_TABLES = (
    "people",
    "t",
    "orders",
    "v",
    "hr.staff",
    "staff2",
    "swallow",
    "public.people",
    "pg_class",
    "trap",
    "nowhere",
)
_COLUMNS = (
    "id",
    "name",
    "ssn",
    "x",
    "note",
    "label",
    "*",
    "upper(ssn)",
    "figure",
    "total",
    "p.*",
    "count(*)",
    "$1::text",
)
_NAMES = ("a", "b", '"C d"', "ü", "p1")
_ODD = (
    "'",
    '"',
    "$$",
    "--",
    "/*",
    "*/",
    ";",
    "\\",
    "(",
    ")",
    "E'\\'",
    "U&'\\0027'",
    "$1",
    "$999",
    "::",
    "\u00a0",
    "\t",
    "é",
    "1e999",
)
_WRITING = (
    "DELETE FROM {t}", "UPDATE {t} SET {c} = 'z'", "INSERT INTO {t} SELECT 1", "TRUNCATE {t}", "DROP TABLE {t}", "SELECT wipe()",
    "SELECT nextval('s')", "SELECT * INTO n1 FROM {t}", "DO $$ BEGIN DELETE FROM t; END $$", "CALL pr()", "LOCK TABLE {t}",
    "SELECT * FROM {t} FOR UPDATE", "SELECT pg_terminate_backend(pg_backend_pid())", "SELECT lo_unlink(4711)", "NOTIFY a, 'b'",
    "CREATE TABLE n2 AS SELECT 1", "MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN DELETE", "ALTER TABLE {t} ADD q int",
)  # fmt: skip
_SESSION = (
    "BEGIN", "BEGIN READ WRITE", "COMMIT", "ROLLBACK", "SAVEPOINT {n}", "ROLLBACK TO {n}", "RELEASE {n}", "SHOW search_path",
    "SET search_path = hr", "SET datestyle = 'ISO'", "RESET ALL", "DISCARD ALL", "LISTEN {n}", "UNLISTEN *", "DEALLOCATE {n}",
    "DEALLOCATE ALL", "CLOSE {n}", "CLOSE ALL", "FETCH 2 FROM {n}", "FETCH ALL {n}", "MOVE BACKWARD 1 IN {n}", "EXECUTE {n}",
    "EXECUTE {n}(1)", "COMMIT AND CHAIN", "SET application_name = 'x'", "SET standard_conforming_strings = off", "",
    "SET default_transaction_read_only = on", "PREPARE TRANSACTION 'x'", "SET ROLE bob", ";;", "-- nothing",
)  # fmt: skip


def statement(noise: random.Random) -> str:
    """One text: sound more often than not, allowed about as often as refused."""
    text = _sound(noise)
    if noise.random() < 0.06:
        text = "; ".join(_sound(noise) for _ in range(noise.choice((2, 2, 3, 8)))).replace("$1", "1")
    if noise.random() < 0.25:
        text = changed(noise, text)
    return text.replace("\0", " ")


def changed(noise: random.Random, text: str) -> str:
    """Words dropped, doubled, swapped, taken from elsewhere, or replaced by something odd; cut; wrapped in brackets."""
    words = _WORDS.findall(text) or [" "]
    for _ in range(noise.choice((1, 1, 2, 4))):
        at = noise.randrange(len(words))
        what = noise.randrange(8)
        if what == 0:
            words[at] = ""
        elif what == 1:
            words[at] *= 2
        elif what == 2:
            other = noise.randrange(len(words))
            words[at], words[other] = words[other], words[at]
        elif what == 3:
            words[at] = noise.choice(_WORDS.findall(noise.choice(_KNOWN)))
        elif what == 4:
            words[at] = noise.choice(_ODD)
        elif what == 5:
            words = words[at:] if noise.random() < 0.5 else words[: at + 1]
        elif what == 6:
            words[at] = "/* " + words[at] + " */"
        else:
            depth = noise.choice((1, 3, 40))
            words[at] = "(" * depth + words[at] + ")" * depth
    return "".join(words)


def _sound(noise: random.Random) -> str:
    table, column, name = noise.choice(_TABLES), noise.choice(_COLUMNS), noise.choice(_NAMES)
    what = noise.random()
    if what < 0.30:
        return _reading(noise, table, column)
    if what < 0.55:
        return str(noise.choice(_KNOWN))
    if what < 0.70:
        return str(noise.choice(_SESSION)).format(n=name)
    if what < 0.82:
        return _hidden(noise, noise.choice(_WRITING).format(t=table, c="x"))
    if what < 0.90:
        inner = _reading(noise, table, column)
        hold = noise.choice(("", "WITH HOLD ", "SCROLL "))
        return noise.choice((f"DECLARE {name} CURSOR {hold}FOR {inner}", f"PREPARE {name} AS {inner}")).replace(
            "SCROLL FOR", "FOR"
        )
    copies = (
        "COPY {t} TO STDOUT",
        "COPY ({q}) TO STDOUT",
        "COPY swallow FROM STDIN",
        "COPY swallow (id) FROM STDIN CSV",
    )
    return noise.choice(copies).format(t=table, q=_reading(noise, table, column))


def _reading(noise: random.Random, table: str, column: str) -> str:
    other = noise.choice(_COLUMNS)
    return noise.choice((
        f"SELECT {column} FROM {table} p",
        f"SELECT {column}, {other} FROM {table} AS p WHERE id = {noise.randrange(9)}",
        f"SELECT {column} FROM {table} p WHERE x = $1",
        f"SELECT {column} AS a FROM {table} p JOIN orders o ON o.id = p.id ORDER BY 1 LIMIT {noise.randrange(5)}",
        f"WITH w AS (SELECT {column} FROM {table} p) SELECT * FROM w",
        f"SELECT * FROM (SELECT {column} FROM {table} p UNION ALL SELECT {other} FROM people p) q",
        f"EXPLAIN SELECT {column} FROM {table} p",
        f"SELECT g, 'text {noise.randrange(99)}' FROM generate_series(1, {noise.choice((0, 1, 30, 400))}) g",
        "SELECT $1::text, $2::text",
        "SELECT $1::int + 1",
        f"VALUES (1, '{'y' * noise.choice((1, 900))}'), (2, NULL)",
    ))  # fmt: skip


def _hidden(noise: random.Random, writing: str) -> str:
    """A statement that writes, behind something that does not look like it."""
    return noise.choice((
        writing,
        f"WITH w AS ({writing} RETURNING 1) SELECT 1",
        f"EXPLAIN (ANALYZE) {writing}",
        f"SELECT 1; {writing}",
        f"/* harmless */ {writing} -- SELECT",
        f"COPY ({writing} RETURNING *) TO STDOUT",
        f"PREPARE a AS {writing}",
    ))  # fmt: skip
