"""`funcgate audit verify`: holds a journal against what was signed, at the speed of the disk, and changes nothing.

It refuses to call sound what it has not looked at: every entry, every leaf, every checkpoint.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from msgspec import Struct

from funcgate.recording.folder import PACKED, open_segment, segments

from .heads import add_outside, copies_in, local_heads, sort
from .key import PUBLIC, public_key
from .leaves import LEAVES, Leaves
from .named import Wrong, check_named, is_object
from .note import VerifierKey
from .scan import HEAD, Fault, Job, Scanned, scan
from .trouble import ProofTrouble
from .weigh import Weighing

MAX_FAULTS = 100
_ALONE_BYTES = 64 << 20  # less than this is looked at sooner than another process has started
_NAMED_AT_ONCE = 64
_TRIES = 3


class Verdict(Struct, kw_only=True):
    """What came out. `sound` is True when nothing is wrong; else `first_bad` is what is wrong with the lowest entry.

    `entries` are there, `expired` were removed by retention, `signed` of all are under the latest checkpoint and
    `unsigned` entries are not yet. `faults` holds the first 100 of `fault_count`. `key` is the verifier key that was used.
    """

    sound: bool
    entries: int
    expired: int
    signed: int
    unsigned: int
    checkpoints: int
    outside: int
    segments: int
    compressed: int
    objects: int | None
    objects_expired: int
    keys: int | None
    keys_expired: int
    bytes: int
    seconds: float
    mb_per_s: float
    key: str
    first_bad: Fault | None
    faults: list[Fault]
    fault_count: int
    notes: list[str]


def verify(
    data_dir: Path,
    *,
    checkpoints: Sequence[Path] = (),
    copies: Iterable[tuple[str, bytes]] = (),
    key: VerifierKey | None = None,
    objects: bool = False,
    processes: int | None = None,
) -> Verdict:
    """Everything of a data folder; the gateway may run. Raises `ProofTrouble` and `OSError` when there is nothing to verify.

    `checkpoints` are files or folders of copies kept elsewhere, `copies` more of them as (where from, note). `key` is the
    public key as it is known elsewhere, else that of `proof/public.vkey`.
    """
    since = time.monotonic()
    if not (data_dir / "journal").is_dir():
        raise ProofTrouble(f"{data_dir / 'journal'}: there is no journal")
    used = key or public_key(data_dir / "proof")
    if used is None:
        raise ProofTrouble(
            f"{data_dir / 'proof' / PUBLIC} is missing: bring it back, or give the key with --key; "
            "if this gateway has never signed, it does so within proof.every of its start"
        )
    heads = local_heads(data_dir / "proof", used)
    given = [copy for path in checkpoints for copy in copies_in(path)]
    add_outside(heads, used, [*given, *copies])
    sort(heads)
    leaves = _leaves(data_dir / "proof" / LEAVES)
    try:
        weighing = Weighing(heads, leaves, used)
        for _ in range(_TRIES):
            names = _names(data_dir)
            found, wrong = _look(data_dir, names, weighing, objects, processes)
            if _still_there(names, data_dir):  # retention may remove a segment meanwhile
                break
        weighing.weigh(found)
        weighing.weigh_named(wrong, _named(found))
    finally:
        if leaves is not None:
            leaves.close()
    return _verdict(weighing, found, names, _named(found) if objects else None, used, time.monotonic() - since)


def _verdict(
    weighing: Weighing,
    found: list[Scanned],
    names: list[str],
    named: Mapping[str, int] | None,
    key: VerifierKey,
    took_s: float,
) -> Verdict:
    heads, faults = weighing.heads, weighing.faults
    size = sum(each.size for each in found)
    signed = max((head.size for head in heads.found), default=0)
    faults.sort(key=lambda fault: (fault.seq == 0, fault.seq))
    return Verdict(
        sound=not faults,
        entries=weighing.entries,
        expired=weighing.expired,
        signed=signed,
        unsigned=max(0, weighing.end - signed),
        checkpoints=sum(not head.outside for head in heads.found),
        outside=sum(head.outside for head in heads.found),
        segments=len(names),
        compressed=sum(name.endswith(PACKED) for name in names),
        objects=None if named is None else sum(map(is_object, named)),
        objects_expired=sum(map(is_object, weighing.expired_names)),
        keys=None if named is None else sum(not is_object(name) for name in named),
        keys_expired=sum(not is_object(name) for name in weighing.expired_names),
        bytes=size,
        seconds=round(took_s, 3),
        mb_per_s=round(size / 1e6 / max(took_s, 1e-6), 1),
        key=str(key),
        first_bad=faults[0] if faults else None,
        faults=faults[:MAX_FAULTS],
        fault_count=len(faults),
        notes=heads.notes + weighing.notes,
    )


def _look(
    data_dir: Path, names: list[str], weighing: Weighing, objects: bool, processes: int | None
) -> tuple[list[Scanned], list[Wrong]]:
    """Every segment, and every object and key that one of them names: those that are not as they should be."""
    journal = data_dir / "journal"
    firsts = [_first_seq(journal, name) for name in names]
    sizes = sorted({head.size for head in weighing.heads.found})
    jobs = [
        Job(
            journal=journal,
            segment=name.removesuffix(PACKED),
            below=firsts[at + 1] if at + 1 < len(names) else 0,
            leaves=data_dir / "proof" / LEAVES,
            known=weighing.known,
            sizes=sizes,
            objects=objects,
        )
        for at, name in enumerate(names)
    ]
    with _workers(processes, journal, names) as over:
        found = list(over(_scanned, jobs))
        needed = sorted(_named(found))
        pieces = [(data_dir, needed[at : at + _NAMED_AT_ONCE]) for at in range(0, len(needed), _NAMED_AT_ONCE)]
        wrong = [bad for piece in over(_checked, pieces) for bad in piece]
    return found, wrong


def _scanned(job: Job) -> Scanned:
    try:
        return scan(job)
    except OSError as error:
        text = f"{job.segment} cannot be read: {error.strerror or type(error).__name__}"
        return Scanned(segment=job.segment, stopped=Fault(text, 0, job.segment), whole_after=True)


def _checked(piece: tuple[Path, Sequence[str]]) -> list[Wrong]:
    return check_named(*piece)


def _named(found: Sequence[Scanned]) -> dict[str, int]:
    """What entries need, and the last that does; empty where nobody asked."""
    return {name: seq for each in found for name, seq in each.named.items()}


@contextmanager
def _workers(processes: int | None, journal: Path, names: list[str]) -> Iterator[Callable[..., Iterable[Any]]]:
    """A `map` over several processes, or over this one where more would not pay."""
    size = sum((journal / name).stat().st_size for name in names if (journal / name).exists())
    count = processes or (1 if size < _ALONE_BYTES else _cores())
    if count == 1:
        yield map
        return
    pool: Executor
    how = "fork" if sys.platform == "linux" and threading.active_count() == 1 else "spawn"  # which starts sooner
    with ProcessPoolExecutor(count, mp_context=get_context(how)) as pool:
        yield pool.map


def _names(data_dir: Path) -> list[str]:
    return [path.name for path in segments(data_dir / "journal")]


def _still_there(names: list[str], data_dir: Path) -> bool:
    now = {name.removesuffix(PACKED) for name in _names(data_dir)}
    return all(name.removesuffix(PACKED) in now for name in names)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _first_seq(journal: Path, name: str) -> int:
    """0 if the segment does not begin with an entry."""
    try:
        with open_segment(journal, name) as file:
            head = HEAD.match(file.read(200))
    except OSError:
        return 0
    return int(head[1]) if head is not None else 0


def _leaves(path: Path) -> Leaves | None:
    try:
        return Leaves(path)
    except FileNotFoundError:
        return None
