"""What the gateway's own process tells all its workers at once: what stands revoked, and which version to serve.

Each is answered within a limit; a worker that is silent for longer is ended, for nobody knows what it lets through.
"""

import asyncio
from collections.abc import Callable, Container, Coroutine, Iterable
from math import isfinite
from typing import Any, Protocol, TypeVar

import msgspec

from funcgate.app.reloading import NotPrepared
from funcgate.core.refusal import Refused
from funcgate.core.revocation import Revocation, Revoked

from . import messages
from .link import Lost
from .messages import Done, Drop, Ends, Prepare, Revoke, Swap, ToWorker, Until

T = TypeVar("T")

REVOKE_S = 2.0
ENDS_S = 1.0
SWAP_S = 5.0
PREPARE_S = 60.0  # it reads what the gateway has just read, and asks issuers for their keys
_LONGEST_PROBLEM = 500  # characters of what a worker says


class Worker(Protocol):
    """One that has begun. `kill` ends its process at once; it lets nobody in from then on."""

    @property
    def number(self) -> int: ...

    async def ask(self, question: bytes) -> bytes:
        """Raises `Lost` and `Refused`."""
        ...

    def kill(self, why: str) -> None: ...


class Telling:
    """Tells those that `workers` gives at the moment: all that callers may be connected to.

    It is `identity.revoking.Elsewhere`. What it has begun it ends, also when whoever asked for it is cancelled.
    """

    def __init__(self, workers: Callable[[], Iterable[Worker]]) -> None:
        self._workers = workers
        self._standing: tuple[Revocation, ...] = ()
        self._under_way: set[asyncio.Future[Any]] = set()

    async def revoke(self, standing: tuple[Revocation, ...]) -> None:
        """On return every worker has it in force, or has ended."""
        self._standing = standing
        await self._whole(self._all(Revoke(standing), REVOKE_S))

    async def catch_up(self, worker: Worker) -> None:
        """Put what stands in force in a worker that has just begun. Give it to callers only after this, and without another
        wait in between. Raises `Lost` when it does not answer; it is ended then."""
        while True:
            standing = self._standing
            if await _done(worker, messages.encode(Revoke(standing)), REVOKE_S):
                raise Lost("revocations were not taken")
            # Attack: be let in by a worker that began while one's token was revoked.
            if standing is self._standing:
                return

    async def ends(self, token: str) -> float | None:
        """The latest that any of them says. One that says nothing is left alone: it is told of the revocation anyway."""
        question = messages.encode(Ends(token))
        found = await asyncio.gather(*(_until(worker, question) for worker in self._workers()))
        return max((at for at in found if at is not None), default=None)

    async def prepare(self, version: str, environ: dict[str, str], limit_s: float = PREPARE_S) -> None:
        """Make a version ready in all of them. Raises `NotPrepared`: then it is ready in none.

        One that hangs is ended first, and its successor begins with what serves then. One that dies of it stops all.
        """
        hanging = await self._whole(self._all(Drop(), SWAP_S))
        problems = await self._all(Prepare(version, environ), limit_s, fatal=False, but=hanging)
        if problems:
            await self.drop()
            raise NotPrepared("; ".join(f"worker {number}: {why}" for number, why in problems.items()))

    async def swap(self) -> None:
        """On return all of them serve what was prepared, or have ended."""
        await self._whole(self._all(Swap(), SWAP_S))

    async def drop(self) -> None:
        """On return none of them has anything prepared."""
        await self._whole(self._all(Drop(), SWAP_S))

    async def _all(
        self, question: ToWorker, limit_s: float, *, fatal: bool = True, but: Container[int] = ()
    ) -> dict[int, str]:
        """What went wrong, by worker. `fatal`: a worker with which something did is ended. Those in `but` are not asked."""
        encoded = messages.encode(question)
        workers = [worker for worker in self._workers() if worker.number not in but]
        found = await asyncio.gather(*(_done(worker, encoded, limit_s, fatal=fatal) for worker in workers))
        return {worker.number: why for worker, why in zip(workers, found, strict=True) if why}

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        # Attack: go away while one's order is carried out, so that half of the workers go on as before.
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)


class Standing:
    """A worker's side of it: what stands revoked, as it was last told, in force in whatever issuers serve."""

    def __init__(self) -> None:
        self._standing: tuple[Revocation, ...] = ()
        self._revoked: Revoked | None = None

    def use(self, revoked: Revoked) -> None:
        """In force in these from now on; one that takes over from them has the same."""
        self._revoked = revoked
        revoked.replace(self._standing)

    def take(self, told: Revoke) -> None:
        self._standing = told.standing
        if self._revoked is not None:
            self._revoked.replace(told.standing)


async def _done(worker: Worker, question: bytes, limit_s: float, *, fatal: bool = True) -> str:
    """What went wrong, "" if nothing did. A worker that does not answer is ended; `fatal`: also one that tells a problem."""
    try:
        async with asyncio.timeout(limit_s):
            answer = messages.answer(await worker.ask(question))
        if isinstance(answer, Done) and not (fatal and answer.problem):
            return _plain(answer.problem)
        why = _plain(answer.problem) if isinstance(answer, Done) else "answers another question"
    except TimeoutError:
        why = f"no answer within {limit_s:g} s"
    except (Lost, Refused, msgspec.MsgspecError) as error:
        why = f"no answer ({type(error).__name__})"
    worker.kill(why)
    return why


async def _until(worker: Worker, question: bytes) -> float | None:
    try:
        async with asyncio.timeout(ENDS_S):
            answer = messages.answer(await worker.ask(question))
    except (TimeoutError, Lost, Refused, msgspec.MsgspecError):
        return None
    if not isinstance(answer, Until) or answer.at is None or not isfinite(answer.at):
        return None
    return answer.at


def _plain(problem: str) -> str:
    # Attack: a worker that was taken over writes lines of its own into the log.
    return " ".join(problem[:_LONGEST_PROBLEM].split())
