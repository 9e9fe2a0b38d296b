"""Databases that an older funcgate made, and that they end up as a new one would be."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from funcgate.core.approval import StoreFailed
from funcgate.core.revocation import Revocation
from funcgate.stores.sql import Database, SqlApprovals, SqlRevocations, database, tables
from support.approvals import approval

FIRST = "0001"


def migrated_to(path: Path, revision: str) -> None:
    """A database as that revision left it."""
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def shape(path: Path) -> dict[str, Any]:
    """All tables with their columns, keys and indexes."""
    engine = sa.create_engine(f"sqlite:///{path}")
    found = sa.inspect(engine)
    shapes = {}
    for name in found.get_table_names():
        columns = [
            (each["name"], str(each["type"]), each["nullable"], each["primary_key"]) for each in found.get_columns(name)
        ]
        indexes = sorted((each["name"], each["column_names"], each["unique"]) for each in found.get_indexes(name))
        unique = sorted(tuple(each["column_names"]) for each in found.get_unique_constraints(name))
        shapes[name] = (columns, indexes, unique)
    engine.dispose()
    return shapes


def opened(path: Path) -> None:
    async def story() -> None:
        store = SqlRevocations(Database(path))
        try:
            await store.changes()
        finally:
            await store.close()

    asyncio.run(story())


def test_migrations_make_what_a_new_database_is(tmp_path: Path) -> None:
    new, old = tmp_path / "new.db", tmp_path / "old.db"
    opened(new)
    migrated_to(old, "head")
    assert shape(new) == shape(old)
    assert set(shape(new)) == {*tables.metadata.tables, "alembic_version"}
    with sqlite3.connect(old) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(tables.REVISION,)]


def test_a_database_of_the_first_revision_is_migrated_with_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    migrated_to(path, FIRST)
    assert "revocations" not in shape(path)
    kept, made = approval(), Revocation(id="a", at=1.0, by="corp/ada", reason="lost", token="f00d" * 4)

    async def story(revocations: bool) -> None:
        database = Database(path)
        try:
            await SqlApprovals(database).open(kept)
            if revocations:
                await SqlRevocations(database).add(made)
                assert await SqlRevocations(database).get("a") == made
        finally:
            await database.close()

    with sqlite3.connect(path) as connection:  # as the older version would have left it
        connection.execute("CREATE TABLE aside (kept TEXT)")
        connection.execute("INSERT INTO aside VALUES ('still here')")
    asyncio.run(story(revocations=False))
    asyncio.run(story(revocations=True))
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT kept FROM aside").fetchall() == [("still here",)]
        assert connection.execute("SELECT count(*) FROM approvals").fetchall() == [(1,)]


def test_a_database_of_a_newer_funcgate_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    opened(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = shape(path)
    with pytest.raises(StoreFailed, match="newer funcgate"):
        opened(path)
    assert shape(path) == before
