"""Search: how fast the index catches up with a journal of a million calls, how large it is, and how long questions take.

Everything is the real thing: the encoder, the indexer, the search, and the calls of a page read from the journal.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from funcgate.recording.filters import Filters
from funcgate.recording.index.asking import Answers
from funcgate.recording.index.database import NAME
from funcgate.recording.index.following import catch_up, open_indexer
from funcgate.recording.reader import moment

from .bed import Bed, tell
from .history import CODES, POLICIES, SPACING_S, START, Cast, write_history

CALLS, FEW_CALLS, ASKED, LIMIT = 1_000_000, 50_000, 300, 50


def run(bed: Bed) -> None:
    """Print the rates, the sizes and the times."""
    calls = CALLS if bed.options.effort.rounds > 4 else FEW_CALLS
    bed.results["search"] = measure(bed.folder / "search", calls)


def measure(data_dir: Path, calls: int, secret: bytes = b"") -> dict[str, Any]:
    """All of it, printed as it comes; what was printed, as values."""
    cast = Cast()
    tell(f"search: writing a journal of {calls} calls")
    entries = write_history(data_dir / "journal", calls, cast)
    tell(f"search: indexing {entries} entries")
    built = _build(data_dir, calls, entries, secret)
    print("\n".join(f"{name:40} {value}" for name, value in built.items()), end="\n\n")
    times = dict(_times(data_dir, calls, cast, secret))
    print(f"{'a page of up to 50 calls by':40} median ms   p99 ms   max ms  found")
    for name, (median, p99, most, found) in times.items():
        print(f"{name:40} {median:9.2f} {p99:8.2f} {most:8.2f} {found:6.1f}")
    return built | {"times_ms": times}


def _build(data_dir: Path, calls: int, entries: int, secret: bytes) -> dict[str, Any]:
    before = _resident_mb()
    wall, cpu = time.perf_counter(), time.process_time()
    with closing(open_indexer(data_dir, secret=secret)) as indexer:
        catch_up(data_dir / "journal", indexer)
        memory = _resident_mb() - before
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    journal = sum(path.stat().st_size for path in (data_dir / "journal").iterdir())
    index = sum(path.stat().st_size for path in data_dir.glob(f"{NAME}*"))
    return {
        "calls": calls,
        "entries": entries,
        "indexing, s": round(wall, 1),
        "entries/s": round(entries / wall),
        "calls/s": round(calls / wall),
        "CPU µs/call": round(cpu / calls * 1e6, 1),
        "memory taken, MB": round(memory),
        "journal, bytes/call": round(journal / calls),
        "index, bytes/call": round(index / calls),
    }


def _times(data_dir: Path, calls: int, cast: Cast, secret: bytes) -> Iterator[tuple[str, tuple[float, ...]]]:
    """For each kind of question: median, 99th percentile and maximum in ms, and how many calls a page had."""
    with Answers(data_dir, secret=secret) as answers:
        for name, ask in questions(cast, calls).items():
            took: list[float] = []
            found = 0
            for _ in range(ASKED):
                filters = ask()
                since = time.perf_counter()
                found += len(answers.page(filters, LIMIT).calls)
                took.append((time.perf_counter() - since) * 1e3)
            took.sort()
            yield name, (statistics.median(took), took[int(0.99 * ASKED)], took[-1], found / ASKED)


def questions(cast: Cast, calls: int) -> dict[str, Callable[[], Filters]]:
    """The kinds of questions, each with values that differ from time to time."""
    dice = cast.dice

    def person() -> str:
        return str(dice.choice(cast.people).subject)

    def at(share: float) -> str:
        return moment(_iso(START + share * calls * SPACING_S))

    def session() -> str:
        return f"run-{dice.randrange(calls) // 64}-{cast.skewed(cast.people).subject}"

    def word() -> str:
        return str(dice.choice(cast.words))

    def receipt() -> str:
        return f"receipt-{dice.randrange(calls)}"

    def function() -> str:
        return str(dice.choice(cast.functions))

    def phrase() -> str:
        said = dice.choice(cast.answers)[0].decode().split('"note":"')[dice.randint(1, 7)].split('"')[0].split()
        return f'"{said[1]} {said[2]} {said[3]}"'

    return {
        "nothing: the newest": Filters,
        "principal": lambda: Filters(principal=person()),
        "group": lambda: Filters(group=dice.choice(cast.groups)),
        "function": lambda: Filters(function=function()),
        "function, TARGET.*": lambda: Filters(function=f"target{dice.randrange(12)}.*"),
        "function, *wildcard*": lambda: Filters(function=f"*function{dice.randrange(30)}*"),
        "target": lambda: Filters(target=f"target{dice.randrange(12)}"),
        "decision": lambda: Filters(decision=dice.choice(["allow", "deny", "ask", "none"])),
        "code": lambda: Filters(code=dice.choice([*CODES, "identity.*", "policy.*", "no.such"])),
        "policy": lambda: Filters(policy=dice.choice(POLICIES)),
        "time range": lambda: Filters(since=at(share := dice.random()), until=at(share + 0.001)),
        "session": lambda: Filters(session=session()),
        "client": lambda: Filters(client=dice.choice(cast.clients)),
        "client, /24": lambda: Filters(client=f"10.{dice.randrange(4)}.{dice.randrange(256)}.0/24"),
        "client, /9 to /22": lambda: Filters(client=f"10.{dice.randrange(4)}.0.0/{dice.randint(9, 22)}"),
        "approver": lambda: Filters(approver=person()),
        "text: a word": lambda: Filters(text=word()),
        "text: a word of nearly every call": lambda: Filters(text="currency"),
        "text: three words": lambda: Filters(text=f"{word()} {word()} {word()}"),
        "text: a phrase": lambda: Filters(text=phrase()),
        "text: one receipt": lambda: Filters(text=receipt()),
        "text: begin*": lambda: Filters(text=f"{word()[:5]}*"),
        "principal, function, decision": lambda: Filters(principal=person(), function=function(), decision="deny"),
        "group, policy, old time": lambda: Filters(group="team-1", policy=dice.choice(POLICIES), until=at(0.1)),
        "group, target, no such code": lambda: Filters(group="team-1", target="target1", code="no.such"),
        "principal, text": lambda: Filters(principal=person(), text=word()),
        "group, common text, two words": lambda: Filters(group="team-2", text=f"currency {word()}"),
        "decision, text of other calls": lambda: Filters(decision="deny", text="receipt"),
        "half of all, text": lambda: Filters(client="10.0.0.0/15", text=word()),
        "text of one call, other client": lambda: Filters(client="10.9.0.0/16", text=receipt()),
    }


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def _iso(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
