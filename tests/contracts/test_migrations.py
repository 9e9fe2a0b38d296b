"""A database of each earlier revision is migrated to what a new one has, and keeps what was in it."""

import asyncio
import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

import funcgate.stores.sql
from funcgate.stores.sql import Database, SqlApprovals
from funcgate.stores.sql.tables import REVISION
from support.approvals import approval


def made_at(path: Path, revision: str) -> None:
    """A database as the migrations up to a revision make it."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(funcgate.stores.sql.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def schema(path: Path) -> set[str]:
    with sqlite3.connect(path) as connection:
        rows = connection.execute("select type, name, tbl_name from sqlite_master where name not like 'sqlite_%'")
        columns = connection.execute(
            'select m.name, c.name, c.type, c."notnull", c.pk from sqlite_master m join pragma_table_info(m.name) c '
            "where m.type = 'table'"
        )
        return {repr(row) for row in [*rows, *columns] if "alembic_version" not in row}


def test_from_each_revision_to_the_newest(tmp_path: Path) -> None:
    async def opened(path: Path) -> None:
        database = Database(path)
        kept = await SqlApprovals(database).open(approval())
        assert await SqlApprovals(database).get(kept.id) == kept
        await database.close()

    new = tmp_path / "new.db"
    asyncio.run(opened(new))
    for number in range(1, int(REVISION) + 1):
        old = tmp_path / f"{number}.db"
        made_at(old, f"{number:04}")
        asyncio.run(opened(old))
        assert schema(old) == schema(new)
        with sqlite3.connect(old) as connection:
            assert connection.execute("select version_num from alembic_version").fetchall() == [(REVISION,)]
