"""The tree as it grows: lines in, leaves and checkpoints out. One process at a time.

It refuses a line that does not follow the last one, or that is not the line it hashed before under that number: what it has
signed once stays true, whatever becomes of the files around it.
"""

import contextlib
import fcntl
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import msgspec
from msgspec import Struct

from funcgate.core.native import half
from funcgate.recording.folder import Line, lines

from .blocks import add_blocks, read_blocks
from .checkpoints import Signed, latest, save
from .disk import replace
from .leaves import LEAVES, Leaves, is_blank
from .merkle import Range, Tree, leaf_hashes, split
from .note import Checkpoint, Signer
from .prune import WHOLE_S, prune, roots_of
from .trouble import ProofTrouble

_native = half("funcgate.recording.proof._native")
FRONTIER = "frontier"
LOOK_BACK = 64
_PIECE = 4096
_SEE = "see what with: funcgate audit verify"


class _Frontier(Struct):
    """The frontier at a checkpoint, so that a start need not hash all leaves. Believed only when its root is the signed one."""

    size: int
    hashes: str


class Growth:
    """Opened on a data folder. Every method raises `ProofTrouble` and `OSError`; after either the same may be tried again."""

    def __init__(self, data_dir: Path, signer: Signer, sync: str) -> None:
        self._journal = data_dir / "journal"
        self._proof = data_dir / "proof"
        self._signer = signer
        self._sync = sync
        self.signed = latest(self._proof, signer.key)
        self._leaves = Leaves(self._proof / LEAVES, write=True)
        try:
            self._hold()
            self._known = self._leaves.count()  # hashed before: up to here the file tells what a line must be
            self._tree = self._frontier()
            self._look_back()
        except BaseException:
            self._leaves.close()
            raise

    @property
    def size(self) -> int:
        """Lines in the tree."""
        return self._tree.end

    @property
    def signed_size(self) -> int:
        return 0 if self.signed is None else self.signed.size

    def take(self, given: Sequence[Line]) -> None:
        """The next lines, rising; those that are in the tree already are looked at again, those left out are fetched."""
        after: int | Line = self.size
        while given[0].seq > self.size + 1:
            fetched = list(islice(lines(self._journal, after=after), min(_PIECE, given[0].seq - self.size - 1)))
            if not fetched:
                raise ProofTrouble(f"the journal has no entry {self.size + 1} any more; {_SEE}")
            self._add(fetched)
            after = fetched[-1]
        old = min(self.size - given[0].seq + 1, len(given))
        if old > 0:
            self._compare(given[:old])
        if old < len(given):
            self._add(given[max(old, 0) :])

    def checkpoint(self, now: float) -> Signed:
        """Sign the tree as it is. Durable on return. `now` is Unix time in seconds."""
        self._leaves.sync()
        extensions = (f"at {_time_of(now)}", f"sync {self._sync}")
        made = Checkpoint(self._signer.key.name, self.size, self._tree.root(), extensions)
        signed = Signed(made, self._signer.sign(made.text()).encode())
        save(self._proof, signed)
        self.signed = signed
        frontier = _Frontier(self.size, self._tree.save().hex())
        with contextlib.suppress(OSError):  # only economies: of the next start, and of proofs
            replace(self._proof / FRONTIER, msgspec.json.encode(frontier))
            add_blocks(self._proof, self._leaves, self.size)
        return signed

    def prune(self, now: float) -> int:
        """Of the checkpoints of hours that are over keep one each; how many went. `now` is Unix time in seconds."""
        if self.signed is None:
            return 0
        for blocks in (read_blocks(self._proof), b""):
            tree = Tree(self._leaves.read, blocks)
            if not blocks or tree.root(self.signed.size) == self.signed.checkpoint.root:
                break
        return prune(self._proof, self._signer.key, roots_of(tree, self.signed.size), _time_of(now - WHOLE_S))

    def close(self) -> None:
        self._leaves.close()

    # -- lines

    def _add(self, new: Sequence[Line]) -> None:
        hashes = _native.hashes_of(new, self.size + 1) if _native is not None and _native.HASHES else None
        if hashes is None:
            for expected, line in enumerate(new, self.size + 1):
                # Attack: a line taken out, put in or given another's number before it was hashed.
                if line.seq != expected:
                    raise ProofTrouble(f"{line.segment} has entry {line.seq} where entry {expected} belongs; {_SEE}")
            hashes = b"".join(leaf_hashes([line.line for line in new]))
        begin, end = self.size, self.size + len(new)
        if begin < self._known:
            self._match(hashes, begin, min(end, self._known), new)
        self._leaves.write(begin, hashes)
        self._tree.extend_with(hashes)

    def _compare(self, old: Sequence[Line]) -> None:
        begin = old[0].seq - 1
        self._match(b"".join(leaf_hashes([line.line for line in old])), begin, begin + len(old), old)

    def _match(self, hashes: bytes, begin: int, end: int, given: Sequence[Line]) -> None:
        """Attack: change a line after it was hashed, and let a restart hash it anew."""
        known = self._leaves.read(begin, end)
        if known == hashes[: len(known)]:
            return
        for leaf, new, line in zip(split(known), split(hashes), given, strict=False):
            if leaf != new and not (line.seq > self.signed_size and is_blank(leaf)):
                raise ProofTrouble(f"entry {line.seq} in {line.segment} is not the one that was hashed before; {_SEE}")

    # -- the start

    def _hold(self) -> None:
        try:
            fcntl.flock(self._leaves.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ProofTrouble(f"another process writes {self._leaves.path}") from None

    def _frontier(self) -> Range:
        """The tree at the latest checkpoint, which must have the root that was signed."""
        size = self.signed_size
        if self._known < size:
            raise ProofTrouble(f"{self._leaves.path} has {self._known} of the {size} leaves that were signed; {_SEE}")
        for tree in (self._saved(), Range()):
            if tree is not None and tree.end <= size:
                for begin in range(tree.end, size, _PIECE):
                    tree.extend_with(self._leaves.read(begin, min(begin + _PIECE, size)))
                if self.signed is None or tree.root() == self.signed.checkpoint.root:
                    return tree
        raise ProofTrouble(f"{self._leaves.path} does not give the root of the checkpoint of {size}; {_SEE}")

    def _saved(self) -> Range | None:
        try:
            found = msgspec.json.decode((self._proof / FRONTIER).read_bytes(), type=_Frontier)
            return Range.restore(0, found.size, bytes.fromhex(found.hashes))
        except (OSError, ValueError):  # msgspec's errors are ValueErrors
            return None

    def _look_back(self) -> None:
        """The journal must still hold what was signed, and the last few lines of that unchanged."""
        size = self.signed_size
        if not size:
            return
        last = next(lines(self._journal, newest_first=True), None) if self._journal.is_dir() else None
        # Attack: put an older copy of the journal in place.
        if last is None or last.seq < size:
            has = f"ends with entry {last.seq}" if last is not None else "is empty"
            raise ProofTrouble(
                f"the journal {has}, but {size} entries were signed: it was truncated or rolled back; {_SEE}"
            )
        begin = max(0, size - LOOK_BACK)
        behind = [line for line in islice(lines(self._journal, after=begin), size - begin) if line.seq <= size]
        if behind:
            if [line.seq for line in behind] != list(range(behind[0].seq, size + 1)):
                raise ProofTrouble(f"entries before {size} are missing in the journal; {_SEE}")
            self._compare(behind)


def _time_of(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
