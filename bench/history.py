"""A journal of many calls, made by the real encoder: who calls what is skewed as in life, and every call has words of its own.

It refuses to be a gateway: nothing is decided or sent, the entries are those that a day of calls would leave.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Raw

from funcgate.core.entry import Decided, Entry, Kind, Who
from funcgate.core.ids import new_id
from funcgate.stores.lines import add_lines

START = 1_790_000_000.0
SPACING_S = 0.0864  # a million calls a day
SEGMENT_BYTES = 64 << 20
PEOPLE, GROUPS, TARGETS, FUNCTIONS, CLIENTS, ANSWERS = 400, 40, 12, 300, 5000, 5000
CODES = ("policy.denied", "policy.error", "function.unknown", "target.timeout", "approval.rejected")
POLICIES = tuple(f"policy {number}" for number in range(24))
_SYLLABLES = ("ba", "co", "di", "fe", "gu", "ha", "ki", "lo", "mu", "ne", "or", "pi", "ra", "se", "ti", "va")
_VERSION = "5f1d0c7a" * 8


class Cast:
    """Who calls what, and what is said. The same for the same seed."""

    def __init__(self, seed: int = 7) -> None:
        self.dice = dice = random.Random(seed)
        self.groups = [f"team-{number}" for number in range(GROUPS)]
        self.people = [
            Who("corp", f"agent-{number}", tuple(sorted(dice.sample(self.groups, 3))), token="a1b2c3d4e5f60718")
            for number in range(PEOPLE)
        ]
        self.functions = [f"target{number % TARGETS}.function{number}" for number in range(FUNCTIONS)]
        self.clients = [
            f"10.{dice.randrange(4)}.{dice.randrange(256)}.{dice.randrange(1, 255)}" for _ in range(CLIENTS)
        ]
        self.words = sorted({"".join(dice.choices(_SYLLABLES, k=dice.randint(2, 4))) for _ in range(4000)})
        self.answers = [self._answer() for _ in range(ANSWERS)]

    def skewed(self, values: list[Any] | tuple[Any, ...]) -> Any:
        """One of the values; the first ones far more often."""
        return values[int(len(values) * self.dice.random() ** 3)]

    def _answer(self) -> tuple[bytes, bytes]:
        """About 900 bytes of JSON, in two parts: the call's own name goes between."""
        records = ",".join(
            f'{{"status":"{self.skewed(self.words)}","amount":{self.dice.randrange(10_000)},"currency":"EUR",'
            f'"note":"{" ".join(self.skewed(self.words) for _ in range(6))}","email":"[REDACTED:email]"}}'
            for _ in range(7)
        )
        return b'{"items":[' + records.encode() + b'],"receipt":"', b'"}'


def write_history(folder: Path, calls: int, cast: Cast) -> int:
    """A journal folder with so many calls. Returns the number of entries."""
    folder.mkdir(parents=True)
    seq, segment = 0, 0
    buffer = bytearray()
    for number in range(calls):
        at = START + number * SPACING_S
        written = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        seq = add_lines(buffer, list(entries_of(cast, number, at)), seq, written)
        if len(buffer) >= SEGMENT_BYTES:
            segment = _write(folder, segment, buffer)
    if buffer:
        _write(folder, segment, buffer)
    return seq


def _write(folder: Path, segment: int, buffer: bytearray) -> int:
    (folder / f"{segment + 1:08d}.jsonl").write_bytes(buffer)
    buffer.clear()
    return segment + 1


def entries_of(cast: Cast, number: int, at: float) -> Iterator[Entry]:
    """One call: nearly always allowed and complete, at times held, denied, failed, or of nobody."""
    dice = cast.dice
    call = new_id(at)
    fate = dice.random()
    if fate < 0.005:
        yield Entry(kind=Kind.DENIED, call=call, code="identity.missing", client=cast.skewed(cast.clients))
        return
    who, function = cast.skewed(cast.people), cast.skewed(cast.functions)
    of: dict[str, Any] = {"call": call, "session": f"run-{number // 64}-{who.subject}", "function": function}
    args = b'{"account":"acct-%d","amount":%d,"memo":"%b"}' % (
        dice.randrange(100_000), dice.randrange(20_000), cast.skewed(cast.words).encode(),
    )  # fmt: skip
    yield Entry(
        kind=Kind.ARRIVED, principal=who, target=function.partition(".")[0], args=Raw(args), digest="sha256:" + "0" * 64,
        client=cast.skewed(cast.clients), trace="4bf92f3577b34da6a3ce929d0e0e4736", **of,
    )  # fmt: skip
    decided = Decided((cast.skewed(POLICIES),), _VERSION)
    if fate < 0.035:
        code = cast.skewed(CODES)
        yield Entry(kind=Kind.DENIED, code=code, detail="no policy allows it", policy=decided, **of)
        yield Entry(kind=Kind.ENDED, outcome="refused", code=code, policy=decided, **of)
        return
    if fate < 0.045:
        yield Entry(kind=Kind.ASKED, policy=decided, **of)
        yield Entry(kind=Kind.ANSWERED, principal=cast.skewed(cast.people[::-1]), outcome="yes", **of)
    yield Entry(kind=Kind.ALLOWED, policy=decided, **of)
    head, tail = cast.answers[dice.randrange(ANSWERS)]
    body = b"%breceipt-%d%b" % (head, number, tail)
    masked = {"email": 7}
    yield Entry(kind=Kind.CHUNK, body=Raw(body), body_bytes=len(body), masked=masked, **of)
    timing = {"identify": 12, "resolve": 60, "decide": 9, "record": 410, "send": 2100, "mask": 44, "deliver": 70}
    yield Entry(
        kind=Kind.ENDED, outcome="complete", status=200, body_bytes=len(body), masked=masked, timing_us=timing,
        policy=decided, **of,
    )  # fmt: skip
