"""What every worker is to go by, and what the gateway's own process does for each: the words between crew.py and mate.py."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from funcgate.config.shape import Config

from .link import Link
from .telling import Worker


class Orders(Struct, kw_only=True):
    """What every worker is to go by now. `ready`: whether the gateway as a whole takes calls. `catch_up` puts the revocations
    that stand in force in a worker that has just begun; it raises `Lost`. `config` is of that version."""

    path: Path
    version: str
    config: Config
    workers: int
    ready: Callable[[], bool]
    catch_up: Callable[[Worker], Awaitable[None]]


class Service(Protocol):
    """What the gateway's own process does for one worker, from its start to its end. Each raises for what no honest one says."""

    async def answer(self, payload: bytes) -> bytes:
        """A question of the worker's. Raises `Refused`, which crosses."""
        ...

    def lines(self, payload: bytes) -> None: ...

    def counted(self, payload: bytes) -> None: ...

    def gone(self) -> None:
        """The worker has ended: what it held is let go, and what it had open is closed in the journal."""
        ...


Cancel = Callable[[int, bytes], Awaitable[None]]
Serve = Callable[[int, Link, Cancel], Service]
