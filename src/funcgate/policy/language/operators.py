"""The operators as closures: members, comparisons, logic, lists and maps.

Where the checker knows a type, values were tested where they came in (arguments.py), and are not tested again.
"""

import operator
from typing import Any

from .check import ORDERED
from .closures import Compare, Run, Truth
from .types import NUMBERS
from .values import Failure, Frame, as_key, equal, kind_of

COMPARES: dict[str, Compare] = {
    "_==_": operator.eq,
    "_!=_": operator.ne,
    "_<_": operator.lt,
    "_<=_": operator.le,
    "_>_": operator.gt,
    "_>=_": operator.ge,
}
FLIPPED = {"_==_": "_==_", "_!=_": "_!=_", "_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_"}


def is_in(value: Any, constants: frozenset[Any]) -> bool:
    return value in constants


def member(of: Run, field: str, what: str) -> Run:
    def run(frame: Frame) -> Any:
        owner = of(frame)
        if type(owner) is not dict:
            raise Failure(f"{what} is read from what has no members")
        try:
            return owner[field]
        except KeyError:
            raise Failure(f"{what} is absent") from None

    return run


def has_member(of: Run, field: str, what: str) -> Run:
    def run(frame: Frame) -> bool:
        owner = of(frame)
        if type(owner) is not dict:
            raise Failure(f"{what} is read from what has no members")
        return field in owner

    return run


def index(of: Run, key: Run) -> Run:
    """Into a list (an int, a uint or a whole double) or a map."""

    def run(frame: Frame) -> Any:
        owner, at = of(frame), key(frame)
        if type(owner) is dict:
            wanted = as_key(at)
            if wanted in owner:
                return owner[wanted]
            raise Failure("a map has no such key")
        if type(owner) is not list:
            raise Failure("what is indexed is no list and no map")
        if kind_of(at) not in NUMBERS or at != at or at in (float("inf"), float("-inf")) or at != int(at):
            raise Failure("a list is indexed by a whole number")
        if 0 <= at < len(owner):
            return owner[int(at)]
        raise Failure("an index is out of bounds")

    return run


def equality(left: Run, right: Run, wanted: bool) -> Run:
    """Of any two values."""

    def run(frame: Frame) -> bool:
        return equal(frame, left(frame), right(frame)) is wanted

    return run


def equality_with_text(left: Run, text: str, wanted: bool) -> Run:
    def run(frame: Frame) -> bool:
        value = left(frame)
        return ((value == text) if type(value) is str else equal(frame, value, text)) is wanted

    return run


def compare_known(left: Run, right: Run, compare: Compare) -> Run:
    """Of two values whose types the checker knows to fit, neither of them text."""
    return lambda frame: compare(left(frame), right(frame))


def compare_texts(left: Run, right: Run, compare: Compare) -> Run:
    def run(frame: Frame) -> bool:
        a, b = left(frame), right(frame)
        frame.charge(min(len(a), len(b)) >> 8)
        return compare(a, b)

    return run


def ordering(left: Run, right: Run, compare: Compare) -> Run:
    """Of any two values: numbers with numbers, else the same type. Raises `Failure` for what has no order."""

    def run(frame: Frame) -> bool:
        a, b = left(frame), right(frame)
        kind, other = kind_of(a), kind_of(b)
        if kind in NUMBERS and other in NUMBERS:
            return compare(a, b)
        if kind != other or kind not in ORDERED:
            raise Failure("two values have no order")
        if kind in ("string", "bytes"):
            frame.charge(min(len(a), len(b)) >> 8)
        return compare(a, b)

    return run


def membership(value: Run, of: Run) -> Run:
    """``value in of``, for any list or map."""

    def run(frame: Frame) -> bool:
        wanted, owner = value(frame), of(frame)
        if type(owner) is dict:
            return as_key(wanted) in owner
        if type(owner) is not list:
            raise Failure("'in' looks into what is no list and no map")
        if type(wanted) is str:
            frame.charge((len(owner) >> 2) + (len(owner) * len(wanted) >> 12))
            return wanted in owner
        frame.charge(3 * len(owner))
        return any(equal(frame, wanted, item) for item in owner)

    return run


def every(parts: tuple[Truth, ...], stop: bool) -> Truth:
    """``&&`` (stop is False) or ``||`` (stop is True): one part that is `stop` decides, failures of others or not."""
    if len(parts) == 2:
        return _both(*parts, stop)

    def run(frame: Frame) -> bool:
        failure: Failure | None = None
        for part in parts:
            try:
                if part(frame) is stop:
                    return stop
            except Failure as failed:
                failure = failed
        if failure is not None:
            raise failure
        return not stop

    return run


def _both(first: Truth, second: Truth, stop: bool) -> Truth:
    def run(frame: Frame) -> bool:
        try:
            if first(frame) is stop:
                return stop
        except Failure:
            if second(frame) is stop:
                return stop
            raise
        return second(frame)

    return run


def choice(test: Truth, yes: Run, no: Run) -> Run:
    return lambda frame: yes(frame) if test(frame) else no(frame)


def list_of_runs(items: tuple[Run, ...]) -> Run:
    return lambda frame: [item(frame) for item in items]


def map_of_runs(pairs: tuple[tuple[Run, Run], ...]) -> Run:
    def run(frame: Frame) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for key, value in pairs:
            name = as_key(key(frame))
            if name in made:
                raise Failure("a map has the same key twice")
            made[name] = value(frame)
        return made

    return run
