"""One database: opened when it is first needed, made or migrated then, every change durable and one step.

It refuses a database that a newer funcgate made, and touches nothing in it.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

from sqlalchemy import event, inspect, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from funcgate.core.approval import StoreFailed

from .tables import REVISION, metadata

BUSY_TIMEOUT_S = 5.0
_VERSIONS = "alembic_version"  # Alembic's own table


class Database:
    """SQLite in a file, readable by its owner only. `write` and `read` raise `StoreFailed` when it cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._engine: AsyncEngine | None = None
        self._opening = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction that nobody else writes beside (``BEGIN IMMEDIATE``), durable when the block ends."""
        engine = await self._opened()
        with _failures(self._path):
            async with engine.begin() as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """Single statements, each of which sees what is durable."""
        engine = await self._opened()
        with _failures(self._path):
            async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                yield connection

    async def close(self) -> None:
        if self._engine is not None:
            await self._engine.dispose()
            self._engine = None

    async def _opened(self) -> AsyncEngine:
        if self._engine is not None:
            return self._engine
        async with self._opening:
            if self._engine is None:
                engine = _engine(self._path)
                try:
                    with _failures(self._path):
                        async with engine.begin() as connection:
                            await connection.run_sync(_prepare)
                except BaseException:
                    await engine.dispose()
                    raise
                self._engine = engine
            return self._engine


def _engine(path: Path) -> AsyncEngine:
    try:
        path.touch(mode=0o600, exist_ok=True)
    except OSError as error:
        raise StoreFailed(f"{path} cannot be opened: {error.strerror}") from None
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}",
        connect_args={"timeout": BUSY_TIMEOUT_S},
        pool_size=4,
        max_overflow=0,
        pool_timeout=10,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver begins no transactions of its own
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "trusted_schema=OFF"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begun(connection: Connection) -> None:
        if connection.get_isolation_level() != "AUTOCOMMIT":
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _prepare(connection: Connection) -> None:
    """A new database gets its tables at once; an older one is migrated step by step."""
    if not inspect(connection).has_table(_VERSIONS):
        metadata.create_all(connection)
        connection.execute(text(f"CREATE TABLE {_VERSIONS} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
        connection.execute(text(f"INSERT INTO {_VERSIONS} VALUES (:revision)"), {"revision": REVISION})  # noqa: S608
        return
    found = connection.execute(text(f"SELECT version_num FROM {_VERSIONS}")).scalar()  # noqa: S608
    if found == REVISION:
        return
    if not isinstance(found, str) or found > REVISION:
        raise StoreFailed(
            f"the state is of a newer funcgate (revision {found}): start that version, or use another data_dir"
        )
    _migrate(connection)


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@contextlib.contextmanager
def _failures(path: Path) -> Generator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        # Its text holds the statement and its values: those are calls. Only the kind is told.
        original = getattr(error, "orig", None)
        raise StoreFailed(f"{path.name}: {type(original or error).__name__}") from None
    except OSError as error:
        raise StoreFailed(f"{path.name}: {error.strerror}") from None
