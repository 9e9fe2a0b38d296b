"""Carries out what an `expired` entry says: shreds keys, deletes objects and segments. Done twice is done once.

It keeps, and tells, what a hold or an open call covers by now; what is still in use it just leaves.
"""

import os
from contextlib import suppress
from pathlib import Path
from threading import Thread

from msgspec.structs import replace

from funcgate.recording.chore import ChoreFailed
from funcgate.recording.contents.errors import Missing
from funcgate.recording.contents.keystore import SHREDDED, KeyStore
from funcgate.recording.contents.objects import ContentStore
from funcgate.recording.contents.places import Places
from funcgate.recording.folder import PACKED, first_seq, segments
from funcgate.recording.proof import ProofTrouble, latest_size
from funcgate.recording.proof.leaves import LEAVES, Leaves

from .coverage import Coverage
from .orders import WITHHELD, Gone, Key, Order, without
from .rules import end_of, seconds_of
from .state import State

ANSWER_S = 10.0
UNUSED_S = 3600.0
SETTLED_S = 3600.0  # no object takes so long to be written


class Carrying:
    """For one data folder. An object that was written again in the last `unused_s` seconds stays. Raises `OSError`."""

    def __init__(
        self, data_dir: Path, state: State, keys: KeyStore, places: Places, *, unused_s: float = UNUSED_S
    ) -> None:
        self._unused_s = unused_s
        self._journal = data_dir / "journal"
        self._data_dir = data_dir
        self._leaves = data_dir / "proof" / LEAVES
        self._state = state
        self._keys = keys
        self._places = places
        self._hanging: dict[str, Thread] = {}  # who looks at a place, and waits for it

    def carry_out(self, order: Order, coverage: Coverage) -> Order:
        """Delete what the order names. What of it is kept after all, as the order that says so; empty if nothing is."""
        keys = tuple(key for key in order.keys if self._shred(key, order, coverage))
        objects = tuple(digest for digest in order.objects if self._delete(digest, order, coverage))
        segments = tuple(one for one in order.segments if self._remove(one, coverage))
        gone = self._state.gone
        for one in segments:
            gone = without(gone, (one.first, one.last))
        kept = replace(order, what=WITHHELD, keys=keys, objects=objects, segments=segments)
        return replace(kept, gone=gone if segments else ())

    def hashed(self) -> int:
        """The number of the last line that is in the tree. What is not must not go."""
        try:
            leaves = Leaves(self._leaves)
        except FileNotFoundError:
            return 0
        try:
            return leaves.count()
        finally:
            leaves.close()

    def signed(self) -> int:
        """The number of the last line that is under a checkpoint. Raises `ChoreFailed` when that cannot be told."""
        try:
            return latest_size(self._data_dir)
        except ProofTrouble as trouble:
            raise ChoreFailed(str(trouble)) from None

    def sweep(self) -> None:
        """Remove segments that had expired when a crash, or their compression, brought them back, and content that a crash
        left without a name."""
        self._places.local.tidy(SETTLED_S)
        for name in self._places.known():
            with suppress(Missing, OSError):  # whatever is wrong there keeps nothing else from expiring
                self._store(name).tidy(SETTLED_S)
        for path in segments(self._journal):
            name = path.name.removesuffix(PACKED)
            first = None if self._state.knows(name) else first_seq(self._journal, name)
            if first is not None and any(begin <= first <= end for begin, end in self._state.gone):
                self._unlink(name)

    # -- one thing each; whether it is kept although it was ordered

    def _shred(self, key: Key, order: Order, coverage: Coverage) -> bool:
        line = self._keys.line(key.name)
        if line is None or line.wrapped == SHREDDED or (line.session, line.target, line.day, line.cls) != (
            key.session, order.target, key.day, order.cls,
        ):  # fmt: skip
            return False  # gone already, or nothing that the order is about
        if coverage.span(key.session, order.target):
            return True
        self._keys.shred(key.name)
        return False

    def _delete(self, digest: str, order: Order, coverage: Coverage) -> bool:
        naming = self._state.naming(digest)
        try:
            stores = [self._store(place) for place in sorted({one.place for one in naming} or {""})]
        except Missing:
            return True  # nobody can tell: it is kept until its place is there again
        stores = [store for store in stores if store.is_there(digest)]
        if not stores:
            return False
        if any(coverage.span(one.session, one.target) for one in naming):
            return True
        before = seconds_of(order.before)
        if all(end_of(one.day) <= before for one in naming):  # else the same content was recorded again meanwhile
            kept = [store for store in stores if not self._gone(store, digest)]
            return bool(kept)
        return False

    def _gone(self, store: ContentStore, digest: str) -> bool:
        """Whether it was deleted there."""
        try:
            return store.delete(digest, unused_s=self._unused_s)
        except OSError:
            if store is self._places.local:
                raise
            return (
                False  # a disk that fails, or somebody who wants to keep what expires here: nothing else waits for it
            )

    def away(self, place: str) -> str:
        """Why nothing can be deleted in that place now; "" if it can."""
        try:
            folder = self._store(place).folder
        except Missing as missing:
            return str(missing)
        return f"{folder} cannot be written to" if place and not os.access(folder, os.W_OK) else ""

    def _store(self, place: str) -> ContentStore:
        """Raises `Missing` also when the place does not answer: nothing else waits for a server that is gone."""
        hanging = self._hanging.get(place)
        if hanging is None or not hanging.is_alive():
            found: list[ContentStore | Missing] = []
            self._hanging[place] = hanging = Thread(target=self._look, args=(place, found), daemon=True)
            hanging.start()
            hanging.join(ANSWER_S)
            for store in found:
                if isinstance(store, ContentStore):
                    return store
                raise store
        raise Missing(f"the folder of the place {place} does not answer")

    def _look(self, place: str, found: list[ContentStore | Missing]) -> None:
        try:
            found.append(self._places.store(place))
        except Missing as missing:
            found.append(missing)

    def _remove(self, gone: Gone, coverage: Coverage) -> bool:
        if not any(path.exists() for path in self._files(gone.segment)):
            return False
        if gone.last > self.hashed() or coverage.lines(gone.first, gone.last):
            return True
        self._unlink(gone.segment)
        return False

    def _unlink(self, name: str) -> None:
        """The plain one first: whoever compresses it just now then removes the other one."""
        for path in self._files(name):
            path.unlink(missing_ok=True)
        number = os.open(self._journal, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(number)
        finally:
            os.close(number)

    def _files(self, name: str) -> tuple[Path, Path]:
        return self._journal / name, self._journal / f"{name}{PACKED}"
