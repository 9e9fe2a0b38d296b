"""One segment of the journal, looked at line by line: its numbers, its checksums, its leaf hashes, its part of the tree.

It runs in a process of its own beside others, and judges only what one segment can tell; verify.py puts them together.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from msgspec import Struct, field

from funcgate.core.crc import crc_holds
from funcgate.recording.folder import open_segment

from .leaves import Leaves
from .merkle import Range, split
from .named import NAMES, decoded, names_in

HEAD = re.compile(rb'\{"seq":(\d{1,18}),"at":"[0-9A-Za-z:.+-]{0,40}",')
_ADMIN = b'"kind":"admin",'
_FORMAT = re.compile(rb'"change":\{"segment":\d+,"format":(\d{1,9})[,}]')
_FORMAT_WITH_CRC = 2
_BLOCK_BYTES = 1 << 20
_MAX_LINE_BYTES = 256 << 20  # far above the longest entry


class Fault(Struct, frozen=True, omit_defaults=True):
    """Something that is not as it was recorded. `seq` 0: of no one entry. `offset` is a byte of the uncompressed segment."""

    text: str
    seq: int = 0
    segment: str = ""
    offset: int = -1


class Job(Struct, frozen=True, kw_only=True):
    """What to look at. `below` is the first number of the next segment, 0 for the last one; `known` leaves are to be compared
    with; `sizes` are those of the checkpoints, rising."""

    journal: Path
    segment: str
    below: int
    leaves: Path
    known: int
    sizes: Sequence[int]
    objects: bool


class Difference(Struct, frozen=True):
    """The first entry whose hash is not the one in `proof/leaves`."""

    seq: int
    segment: str
    offset: int


class Scanned(Struct, kw_only=True):
    """What was found. The entries `first` to `last` follow each other; `stopped` says where and why no more do.

    `nodes` is the saved `Range` over their leaves, `heads` the saved ranges that end at a checkpoint's size. `tail` is where
    bytes begin that belong to no entry (-1: there are none); `whole_after` says that a whole line comes after `stopped`. `named`
    are the objects and keys that the entries need, each with the last that does.
    """

    segment: str
    first: int = 0
    last: int = 0
    size: int = 0
    nodes: bytes = b""
    heads: list[tuple[int, bytes]] = field(default_factory=list)
    stopped: Fault | None = None
    whole_after: bool = False
    tail: int = -1
    difference: Difference | None = None
    changes: list[tuple[int, bytes]] = field(default_factory=list)
    named: dict[str, int] = field(default_factory=dict)


def scan(job: Job) -> Scanned:
    """Raises `OSError` for a segment that cannot be read at all."""
    with open_segment(job.journal, job.segment) as file:
        return _Scan(job, file).run()


class _Scan:
    def __init__(self, job: Job, file: BinaryIO) -> None:
        self._job = job
        self._file = file
        self._found = Scanned(segment=job.segment)
        self._leaves = Leaves(job.leaves) if job.known else None
        self._range = Range()
        self._checked = False  # whether each line has to end in a crc
        self._offset = 0
        self._next = 0  # the number that the next line must have

    def run(self) -> Scanned:
        found = self._found
        try:
            for block in _blocks(self._file):
                if not self._as_hashed(block) and not self._one_by_one(_split(block)):
                    break
        finally:
            if self._leaves is not None:
                self._leaves.close()
        found.size = self._offset
        if found.first:
            found.last = self._next - 1
            found.nodes = self._range.save()
        return found

    def _as_hashed(self, block: bytes) -> bool:
        """Take a block of which each entry has its number and the hash in `proof/leaves`: five in six of all the work.

        False, with nothing done, for any other. Of an entry that has its hash the checksum tells nothing more.
        """
        begin = self._next
        if not begin or self._leaves is None or not block.endswith(b"\n"):
            return False
        lines = block.split(b"\n")
        lines.pop()
        end = begin + len(lines)
        if end - 1 > self._job.known or end > self._job.below > 0:
            return False
        hashes = [sha256(b"\0" + line).digest() for line in lines]
        if b"".join(hashes) != self._leaves.read(begin - 1, end - 1):
            return False
        for seq, line in enumerate(lines, begin):
            if not line.startswith(b'{"seq":%d,"at":"' % seq):
                return False
        if _ADMIN in block:
            for seq, line in enumerate(lines, begin):
                self._learn(seq, line, HEAD.match(line))
        if self._job.objects and any(word in block for word in NAMES):
            for seq, line in enumerate(lines, begin):
                self._found.named.update(dict.fromkeys(names_in(line), seq))
        self._grow(begin, hashes)
        self._next = end
        self._offset += len(block)
        return True

    def _one_by_one(self, lines: list[bytes]) -> bool:
        """Take lines; False where they cease to be entries."""
        begin, hashes, offsets = self._next, [], []
        for raw in lines:
            if not self._is_next(raw):
                break
            hashes.append(sha256(b"\0" + raw[:-1]).digest())
            offsets.append(self._offset)
            self._offset += len(raw)
            self._next += 1
        if hashes:
            self._take(begin or self._found.first, hashes, offsets)
        if len(hashes) < len(lines):
            self._stop(lines[len(hashes) :])
            return False
        return True

    def _is_next(self, raw: bytes) -> bool:
        head = HEAD.match(raw)
        if head is None or raw[-2:] != b"}\n":
            return False
        seq = int(head[1])
        if seq != self._next:
            if self._next:
                return False
            self._begin(seq, raw)
        elif seq == self._job.below:
            return False
        holds = crc_holds(raw[:-1])
        if holds is False or (holds is None and self._checked):
            return False
        self._learn(seq, raw[:-1], head)
        if self._job.objects:
            self._found.named.update(dict.fromkeys(names_in(raw), seq))
        return True

    def _learn(self, seq: int, line: bytes, head: re.Match[bytes] | None) -> None:
        if head is not None and line.startswith(_ADMIN, head.end()):
            self._found.changes.append((seq, line))

    def _begin(self, seq: int, raw: bytes) -> None:
        self._found.first = self._next = seq
        self._range = Range(seq - 1)
        form = _FORMAT.search(raw, 0, 400)
        self._checked = form is not None and int(form[1]) >= _FORMAT_WITH_CRC

    def _take(self, begin: int, hashes: list[bytes], offsets: list[int]) -> None:
        """Hashes of the entries from `begin` on: compared, and put into the tree."""
        job, found = self._job, self._found
        if found.difference is None and self._leaves is not None and begin <= job.known:
            known = self._leaves.read(begin - 1, min(begin - 1 + len(hashes), job.known))
            if not b"".join(hashes).startswith(known):
                at = next(at for at, (one, two) in enumerate(zip(split(known), hashes, strict=False)) if one != two)
                found.difference = Difference(begin + at, found.segment, offsets[at])
        self._grow(begin, hashes)

    def _grow(self, begin: int, hashes: list[bytes]) -> None:
        """Into the tree, up to each checkpoint in turn."""
        sizes, done = self._job.sizes, 0
        for at in range(bisect_right(sizes, self._range.end), len(sizes)):
            upto = sizes[at] - (begin - 1)
            if upto > len(hashes):
                break
            self._range.extend(hashes[done:upto])
            self._found.heads.append((sizes[at], self._range.save()))
            done = upto
        self._range.extend(hashes[done:])

    def _stop(self, rest: list[bytes]) -> None:
        """`rest` begins with what is not the next entry: lines that were refused, the end, or something that was done to it."""
        raw, found = rest[0], self._found
        if not raw.endswith(b"\n") and not raw.strip(b"\0"):
            return  # zeros written ahead
        head = HEAD.match(raw)
        whole = head is not None and raw.endswith(b"}\n")
        seq = int(head[1]) if head is not None else 0
        below, place = self._job.below, self._offset
        if whole and below and self._next == below and seq >= below:
            found.tail = place
            return
        if not self._next:
            text = "it does not begin with an entry"
        elif whole and seq != self._next:
            text = f"entry {self._next} is missing: entry {seq} stands in its place"
        elif whole:
            text = f"entry {self._next} is damaged: its checksum is wrong"
        else:
            text = f"entry {self._next} is damaged: what stands in its place is no entry"
        found.stopped = Fault(text, self._next, found.segment, place)
        found.tail = place
        found.whole_after = any(_is_whole(line) for line in rest[1:]) or self._whole_line_follows()

    def _whole_line_follows(self) -> bool:
        return any(any(map(_is_whole, _split(block))) for block in _blocks(self._file))


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """The rest of a file in pieces of whole lines; only the last may end in the middle of one."""
    while block := file.read(_BLOCK_BYTES):
        # Attack: a segment of one endless line, to have the verifier run out of memory.
        yield block if block.endswith(b"\n") else block + file.readline(_MAX_LINE_BYTES)


def _split(block: bytes) -> list[bytes]:
    """Lines with their newlines."""
    lines = [line + b"\n" for line in block.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def _is_whole(raw: bytes) -> bool:
    return raw.endswith(b"}\n") and HEAD.match(raw) is not None and crc_holds(raw[:-1]) is not False


class _Change(Struct):
    change: dict[str, Any] = {}


def change_in(raw: bytes) -> dict[str, Any]:
    """The `change` of an admin entry."""
    found = decoded(raw, _Change)
    return {} if found is None else found.change
