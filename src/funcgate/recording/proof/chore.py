"""The keeper's chore that proves the record: hashes the lines, signs a checkpoint every so often, sends copies away.

It refuses to go on when the journal does not continue what it hashed before, and says so until that is mended.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from funcgate.recording.chore import ChoreFailed
from funcgate.recording.folder import Line

from .copies import destination
from .courier import CopyStatus, Courier
from .growth import Growth
from .key import signer_of
from .trouble import ProofTrouble

CLOSE_S = 2.0
PRUNE_EVERY_S = 3600.0


class ProofStatus(Struct, frozen=True):
    """`size` lines are in the tree, `signed` of them under the latest checkpoint, made at `at`. `problem` stays until mended."""

    size: int = 0
    signed: int = 0
    at: str = ""
    problem: str = ""
    copies: tuple[CopyStatus, ...] = ()


class ProofChore:
    """`recording.chore.Chore`. `key` None is the one in the data folder, `origin` "" the name made of it.

    `sync` says when an entry counts as written (``always``, ``interval 5ms``); it stands in every checkpoint. `copies` are URLs.
    `now` is Unix time in seconds.
    """

    name = "proof"

    def __init__(
        self,
        data_dir: Path,
        *,
        origin: str = "",
        key: Path | None = None,
        every_s: float = 10.0,
        sync: str = "always",
        copies: Sequence[str] = (),
        now: Callable[[], float] = time.time,
    ) -> None:
        self._data_dir = data_dir
        self._origin = origin
        self._key = key
        self._every_s = every_s
        self._sync = sync
        self._copies = copies
        self._now = now
        self._growth: Growth | None = None
        self._couriers: list[Courier] = []
        self._due = 0.0  # of the monotonic clock
        self._prune_at = 0.0
        self._problems: dict[str, str] = {}  # by what failed; until that works

    @property
    def position(self) -> int:
        with self._failing("open"):
            return self._opened().size

    @property
    def status(self) -> ProofStatus:
        """For the operator; never raises, may be asked from any thread."""
        growth, copies = self._growth, tuple(courier.status for courier in self._couriers)
        problem = next(iter(tuple(self._problems.values())), "")
        if growth is None:
            return ProofStatus(problem=problem, copies=copies)
        at = growth.signed.checkpoint.at if growth.signed is not None else ""
        return ProofStatus(growth.size, growth.signed_size, at, problem, copies)

    @property
    def complaint(self) -> str:
        """Copies that do not arrive; the proof goes on without them."""
        return next((f"copies to {copy.to}: {copy.problem}" for copy in self.status.copies if copy.problem), "")

    def take(self, lines: Sequence[Line]) -> None:
        with self._failing("take"):
            self._opened().take(lines)

    def tick(self) -> None:
        """A checkpoint, if the tree has grown and it is time. Once an hour, older ones are thinned out."""
        with self._failing("sign"):
            growth = self._opened()
            if growth.size > growth.signed_size and time.monotonic() >= self._due:
                self._checkpoint(growth)
            if time.monotonic() >= self._prune_at:
                growth.prune(self._now())
                self._prune_at = time.monotonic() + PRUNE_EVERY_S

    def close(self) -> None:
        """A last checkpoint, if the tree has grown, and a few seconds for the copies."""
        try:
            growth = self._growth
            if growth is not None and not self._problems and growth.size > growth.signed_size:
                self._checkpoint(growth)
        except (ProofTrouble, OSError):  # nothing is lost: the next start signs what this one hashed
            pass
        end = time.monotonic() + CLOSE_S
        for courier in self._couriers:
            courier.close(max(0.1, end - time.monotonic()))
        self._let_go()

    def _opened(self) -> Growth:
        if self._growth is None:
            proof = self._data_dir / "proof"
            signer = signer_of(proof, self._key, self._origin)
            self._growth = growth = Growth(self._data_dir, signer, self._sync)
            if not self._couriers:
                self._couriers = [
                    Courier(shown(url), lambda url=url: destination(url, signer.key))  # type: ignore[misc]
                    for url in self._copies
                ]
                if growth.signed is not None:  # the last one may not have got away before the end
                    self._offer(growth)
        return self._growth

    def _checkpoint(self, growth: Growth) -> None:
        growth.checkpoint(self._now())
        self._due = time.monotonic() + self._every_s
        self._offer(growth)

    def _offer(self, growth: Growth) -> None:
        if growth.signed is not None:
            for courier in self._couriers:
                courier.offer(growth.signed)

    def _let_go(self) -> None:
        growth, self._growth = self._growth, None
        if growth is not None:
            growth.close()

    @contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        """Whatever goes wrong is told. The files are opened anew at the next try: after a failed sync none is to be trusted."""
        try:
            yield
        except (ProofTrouble, EOFError) as trouble:
            told = str(trouble)
        except OSError as error:
            told = f"{error.filename or self._data_dir / 'proof'}: {error.strerror or type(error).__name__}"
        else:
            self._problems.pop(what, None)
            return
        self._problems[what] = told
        self._let_go()
        raise ChoreFailed(told)


def shown(url: str) -> str:
    """A destination without what may be secret in it."""
    head = url.partition("?")[0]
    scheme, slashes, rest = head.partition("://")
    return f"{scheme}{slashes}{rest.rpartition('@')[2]}"
