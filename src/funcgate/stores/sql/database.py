"""One database: opened when it is first needed, made or migrated then, every change durable and one step.

It refuses a database that a newer funcgate made, and touches nothing in it.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

from sqlalchemy import event, inspect, select, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from funcgate.core.approval import StoreFailed

from .sealing import Clear, Form
from .settling import Settled, cleaned, rekeyed, settle
from .tables import REVISION, metadata, seal

BUSY_TIMEOUT_S = 5.0
_VERSIONS = "alembic_version"  # Alembic's own table


class Database:
    """SQLite in a file, readable by its owner only. `write` and `read` raise `StoreFailed` when it cannot be used, `StoreLocked`
    when it is encrypted under another key than `key` (32 bytes, None for no encryption).

    `form` is how values are written, once it is open: within `write` and `read`.
    """

    def __init__(self, path: Path, key: bytes | None = None) -> None:
        self._path = path
        self._key = key
        self.form: Form = Clear()
        self._engine: AsyncEngine | None = None
        self._opening = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction that nobody else writes beside (``BEGIN IMMEDIATE``), durable when the block ends."""
        engine = await self._opened()
        with _failures(self._path):
            async with engine.begin() as connection:
                await self._check(connection)
                yield connection

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """Single statements, each of which sees what is durable."""
        engine = await self._opened()
        with _failures(self._path):
            async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                await self._check(connection)
                yield connection

    async def open(self) -> None:
        """Open it now: made, migrated and sealed as need be."""
        await self._opened()

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
                            settled = await connection.run_sync(_prepare, self._key)
                        if not settled.clean:
                            await _clean(engine)
                    self.form = settled.form
                except BaseException:
                    await engine.dispose()
                    raise
                self._engine = engine
            return self._engine

    async def _check(self, connection: AsyncConnection) -> None:
        """Raises `StoreFailed` when the state is not written as it was when it was opened."""
        name = (await connection.execute(select(seal.c.name))).scalar()
        # Attack: one of two gateways that share the state begins to encrypt it, and the other goes on in clear.
        if (name or "") != self.form.name:
            raise StoreFailed(f"{self._path.name}: its encryption changed since it was opened; start this gateway anew")


async def rekey(path: Path, old: bytes, new: bytes) -> bool:
    """The state's key under another configured one (32 bytes each); False if there is nothing encrypted.

    What it sealed is not touched. Raises `StoreFailed`. Broken off, it can be run again.
    """
    if not await asyncio.to_thread(path.exists):
        return False
    engine = _engine(path)
    try:
        with _failures(path):
            async with engine.begin() as connection:
                found = await connection.run_sync(_revision)
                done = found == REVISION and await connection.run_sync(rekeyed, old, new)
            await _truncate(engine)
    finally:
        await engine.dispose()
    return done


async def _clean(engine: AsyncEngine) -> None:
    """Write the file anew, without what was deleted or overwritten in it: it was clear. And the write-ahead log empty."""
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.exec_driver_sql("PRAGMA temp_store=FILE")  # all of it is sealed by now, and may be large
        await connection.exec_driver_sql("VACUUM")
        await connection.exec_driver_sql("PRAGMA temp_store=MEMORY")
    await _truncate(engine)
    async with engine.begin() as connection:
        await connection.run_sync(cleaned)


async def _truncate(engine: AsyncEngine) -> None:
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        busy = (await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")).scalar()
    if busy:
        raise StoreFailed("what was deleted cannot be taken out of the state now: another process is reading it")


class _Unlocking(sqlite3.Connection):
    """Rolls back when it is closed."""

    def close(self) -> None:
        # Attack: go away while the state is opened or written. SQLite keeps a closed connection's transaction, and its lock, as
        # long as a cursor of it lives: in the cancelled task's exception, until the garbage collector comes by.
        with contextlib.suppress(sqlite3.Error):
            self.rollback()
        super().close()


def _engine(path: Path) -> AsyncEngine:
    try:
        path.touch(mode=0o600, exist_ok=True)
    except OSError as error:
        raise StoreFailed(f"{path} cannot be opened: {error.strerror}") from None
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}",
        connect_args={"timeout": BUSY_TIMEOUT_S, "factory": _Unlocking},
        pool_size=4,
        max_overflow=0,
        pool_timeout=10,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver begins no transactions of its own
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "trusted_schema=OFF",
            "secure_delete=ON",
            "temp_store=MEMORY",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begun(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _prepare(connection: Connection, key: bytes | None) -> Settled:
    """A new database gets its tables at once; an older one is migrated step by step. Sealed, if there is a key."""
    found = _revision(connection)
    if found is None:
        metadata.create_all(connection)
        connection.execute(text(f"CREATE TABLE {_VERSIONS} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
        connection.execute(text(f"INSERT INTO {_VERSIONS} VALUES (:revision)"), {"revision": REVISION})  # noqa: S608
    elif found > REVISION:
        raise StoreFailed(
            f"the state is of a newer funcgate (revision {found}): start that version, or use another data_dir"
        )
    elif found != REVISION:
        _migrate(connection)
    return settle(connection, key, new=found is None)


def _revision(connection: Connection) -> str | None:
    """None for a new database."""
    if not inspect(connection).has_table(_VERSIONS):
        return None
    return str(connection.execute(text(f"SELECT version_num FROM {_VERSIONS}")).scalar())  # noqa: S608


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
