"""Plain statements carried by the loop's callbacks, from the caller's bytes to the answer's, while the session's task sleeps.

The way through is the same, `Gateway.carry`; only who runs it is another one (`_quick.pxi`, compiled).

It refuses nothing and decides nothing: whatever is not plain, or does not end plainly, is left to the session's task.
"""

import asyncio
from typing import Any, Protocol

from funcgate.core.native import half
from funcgate.gateway import Gateway

from .exchange import Speaker
from .plain import Plain, Plan
from .runs import Runs
from .stream import Alarm

_native = half("funcgate.protocols.postgres._drive")


class Sleeper(Speaker, Protocol):
    """What is asked of the session."""

    gateway: Gateway
    extended: Runs
    alarm: Alarm
    plans: dict[int, Plan]  # by the statement's `id`

    def passed(self) -> bool: ...


class Quick:
    """One session's, where nothing is compiled: no statement is carried like this.

    `left` is a statement that is over and has to be followed up by the session's task, with the exception that ended it.
    `busy`: a statement is on its way.
    """

    busy = False
    left: tuple[Plain, BaseException | None] | None = None

    def sleeps(self, waiter: asyncio.Future[None]) -> None:
        """The session's task waits for what comes from its caller. From here on that is taken, if it is plain."""

    def awake(self) -> None:
        """It waits no more."""

    def free(self) -> asyncio.Future[None]:
        """To be awaited, while this is `busy`."""
        raise NotImplementedError

    def cancel(self) -> bool:
        """Whether what runs was asked to end."""
        return False

    def end(self) -> None:
        """The session is over, and so is what runs."""


def quick_of(session: Sleeper, loop: asyncio.AbstractEventLoop) -> Quick:
    """Of this session. It keeps the session until `end`."""
    if _native is None:
        return Quick()
    found: Any = _native.Quick(session, loop)
    made: Quick = found
    return made
