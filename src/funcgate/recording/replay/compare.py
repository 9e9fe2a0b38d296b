"""Two sessions side by side: which calls are in both, which in one, and what differs. Pure."""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any

import msgspec
from msgspec import Raw, Struct

from funcgate.recording.calls import CallRecord

from .score import Played

MAX_CALLS = 20_000  # of one session
_MAX_MATCHED = 2000  # beyond that a difference is looked for in order only: matching grows with the square
_ABSENT = "(absent)"


class Difference(Struct, frozen=True):
    """One thing that differs: ``decision``, ``status``, ``args.amount``, … and what it is in each, as text."""

    what: str
    first: str
    second: str


class Pair(Struct, frozen=True, kw_only=True):
    """A call of the first session and the one of the second that it corresponds to; 0 where there is none. The numbers are
    those of `Played`."""

    function: str
    first: int = 0
    second: int = 0
    differences: tuple[Difference, ...] = ()

    @property
    def same(self) -> bool:
        return bool(self.first and self.second) and not self.differences


def compare(first: Sequence[Played], second: Sequence[Played]) -> list[Pair]:
    """The calls of both, in their order. Same function and same arguments correspond first; between those, same function."""
    if max(len(first), len(second)) > MAX_CALLS:
        raise ValueError(f"a session of more than {MAX_CALLS} calls is too long to be compared")
    return [_pair(one, other) for one, other in _aligned(first, second, _call)]


_Both = tuple[Played | None, Played | None]


def _aligned(first: Sequence[Played], second: Sequence[Played], key: Any) -> Iterator[_Both]:
    keys, others = list(map(key, first)), list(map(key, second))
    start = 0
    while start < min(len(keys), len(others)) and keys[start] == others[start]:
        yield first[start], second[start]
        start += 1
    keys, others, first, second = keys[start:], others[start:], first[start:], second[start:]
    if max(len(keys), len(others)) > _MAX_MATCHED:
        yield from _between(first, second, key)
        return
    matcher = SequenceMatcher(None, keys, others, autojunk=False)
    for tag, a, a_end, b, b_end in matcher.get_opcodes():
        if tag == "equal":
            yield from zip(first[a:a_end], second[b:b_end], strict=True)
        else:
            yield from _between(first[a:a_end], second[b:b_end], key)


def _between(first: Sequence[Played], second: Sequence[Played], key: Any) -> Iterator[_Both]:
    if key is _call and first and second:
        yield from _aligned(first, second, _function)
        return
    yield from ((one, None) for one in first)
    yield from ((None, other) for other in second)


def _function(call: Played) -> str:
    return call.record.function


def _call(call: Played) -> tuple[str, bytes]:
    args = call.record.args
    return call.record.function, b"" if args is None else bytes(args)


def _pair(first: Played | None, second: Played | None) -> Pair:
    if first is None or second is None:
        one = first or second
        assert one is not None
        number, other = (one.number, 0) if first is not None else (0, one.number)
        return Pair(function=one.record.function, first=number, second=other)
    found = tuple(_differences(first.record, second.record))
    return Pair(function=first.record.function, first=first.number, second=second.number, differences=found)


def _differences(first: CallRecord, second: CallRecord) -> Iterator[Difference]:
    yield from _contents("args", first.args, second.args)
    for what, one, other in (
        ("decision", first.decision, second.decision),
        ("code", first.code, second.code),
        ("policies", _policies(first), _policies(second)),
        ("outcome", first.outcome, second.outcome),
        ("status", str(first.status or ""), str(second.status or "")),
    ):
        if one != other:
            yield Difference(what, one or _ABSENT, other or _ABSENT)
    yield from _contents("answer", first.body, second.body)


def _policies(record: CallRecord) -> str:
    return "" if record.policy is None else ", ".join(record.policy.names)


def _contents(what: str, first: Raw | str | None, second: Raw | str | None) -> Iterator[Difference]:
    if _text(first) == _text(second):
        return
    one, other = _read(first), _read(second)
    if one is None or other is None:
        yield Difference(what, _text(first), _text(second))
    else:
        yield from _members(what, one, other)


def _members(where: str, first: Any, second: Any) -> Iterator[Difference]:
    """What differs between two JSON values: the smallest members that do. Goes no deeper than the reader went."""
    waiting = [(where, first, second)]
    while waiting:
        at, one, other = waiting.pop()
        if type(one) is type(other) and isinstance(one, dict):
            names = [*one, *(name for name in other if name not in one)]
            waiting.extend((f"{at}.{name}", one.get(name, ...), other.get(name, ...)) for name in reversed(names))
        elif type(one) is type(other) and isinstance(one, list) and len(one) == len(other):
            both = list(zip(one, other, strict=True))
            waiting.extend((f"{at}[{index}]", *both[index]) for index in reversed(range(len(both))))
        elif one != other or type(one) is not type(other):
            yield Difference(at, _shown(one), _shown(other))


def _read(value: Raw | str | None) -> Any:
    """The JSON; None for what is none, and for null."""
    if not isinstance(value, Raw):
        return None
    try:
        return msgspec.json.decode(value)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def _text(value: Raw | str | None) -> str:
    return _ABSENT if value is None else value if isinstance(value, str) else bytes(value).decode("utf-8", "replace")


def _shown(value: Any) -> str:
    return _ABSENT if value is ... else msgspec.json.encode(value).decode()
