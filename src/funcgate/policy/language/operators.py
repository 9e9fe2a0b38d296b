"""The closures that compiled expressions are made of. A closure takes the frame and gives a value, or raises `Failure`.

Where the checker knows a type, values are tested once, where they come in (`argument`, `guarded`), and not again.
"""

import operator
from collections.abc import Callable
from typing import Any

from .check import ORDERED
from .types import NUMBERS, Type
from .values import INT_MAX, INT_MIN, Failure, Frame, OverBudget, as_key, check_int, equal, keys_of, kind_of

Run = Callable[[Frame], Any]
Truth = Callable[[Frame], bool]
Compare = Callable[[Any, Any], bool]

COMPARES: dict[str, Compare] = {
    "_==_": operator.eq,
    "_!=_": operator.ne,
    "_<_": operator.lt,
    "_<=_": operator.le,
    "_>_": operator.gt,
    "_>=_": operator.ge,
}
FLIPPED = {"_==_": "_==_", "_!=_": "_!=_", "_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_"}
# The Python types that a value of a declared type may have. A JSON number without a fraction is an int, and stays one
# where it is only compared: 10**17 + 1 is not 1e17.
_PYTHON: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "bool": (bool,),
    "double": (float, int),
    "list": (list,),
    "map": (dict,),
    "null_type": (type(None),),
}
_ERROR_STEPS = 10


def constant(value: Any) -> Run:
    return lambda frame: value


def argument(field: str) -> Run:
    """An argument as it came."""

    def run(frame: Frame) -> Any:
        try:
            return frame.args[field]
        except KeyError:
            raise Failure(f"args.{field} is absent") from None

    return run


def guarded(read: Run, kind: Type, what: str, exact: bool) -> Run:
    """What `read` gives, if it is of the declared type. With `exact`, an int stays an int where a double is declared."""
    if kind.nullable:
        return _nullable_double(read) if kind.name == "double" and not exact else read
    wrong = f"{what} is not {'of type ' + str(kind)}, as its schema says"
    if kind.name == "int":

        def run_int(frame: Frame) -> Any:
            value = read(frame)
            if type(value) is int and INT_MIN <= value <= INT_MAX:
                return value
            raise Failure(wrong if type(value) is not int else f"{what} is beyond 64 bits")

        return run_int
    permitted = _PYTHON.get(kind.name)
    if permitted is None:
        return _by_kind(read, kind.name, wrong)
    if kind.name == "double" and not exact:
        return _double(read, wrong)
    first, last = permitted[0], permitted[-1]

    def run(frame: Frame) -> Any:
        value = read(frame)
        found = type(value)
        if found is first or found is last:
            return value
        raise Failure(wrong)

    return run


def _by_kind(read: Run, name: str, wrong: str) -> Run:
    def run(frame: Frame) -> Any:
        value = read(frame)
        if kind_of(value) != name:
            raise Failure(wrong)
        return value

    return run


def _double(read: Run, wrong: str) -> Run:
    def run(frame: Frame) -> float:
        value = read(frame)
        if type(value) is float:
            return value
        if type(value) is not int:
            raise Failure(wrong)
        return float(check_int(value))

    return run


def _nullable_double(read: Run) -> Run:
    def run(frame: Frame) -> Any:
        value = read(frame)
        return float(check_int(value)) if type(value) is int else value

    return run


def python_types(kind: Type) -> tuple[type, ...]:
    """The Python types that `argument_against` lets through."""
    return (int,) if kind.name == "int" else _PYTHON[kind.name]


def argument_against(field: str, kind: Type, compare: Compare, value: Any) -> Run | None:
    """``args.FIELD op CONSTANT`` in one closure: what most conditions are made of."""
    absent, wrong = f"args.{field} is absent", f"args.{field} is not of type {kind}, as its schema says"
    if kind.name == "int":

        def run_int(frame: Frame) -> bool:
            try:
                found = frame.args[field]
            except KeyError:
                raise Failure(absent) from None
            if type(found) is int and INT_MIN <= found <= INT_MAX:
                return compare(found, value)
            raise Failure(wrong if type(found) is not int else f"args.{field} is beyond 64 bits")

        return run_int
    if kind.name not in ("double", "string", "bool"):
        return None
    first, last = _PYTHON[kind.name][0], _PYTHON[kind.name][-1]

    def run(frame: Frame) -> bool:
        try:
            found = frame.args[field]
        except KeyError:
            raise Failure(absent) from None
        if type(found) is first or type(found) is last:
            return compare(found, value)
        raise Failure(wrong)

    return run


def is_in(value: Any, constants: frozenset[Any]) -> bool:
    return value in constants


def as_bool(read: Run) -> Truth:
    def run(frame: Frame) -> bool:
        value = read(frame)
        if value is True or value is False:
            return value
        raise Failure("a value that must be a bool is none")

    return run


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


def cell(position: int) -> Run:
    """A loop variable."""
    return lambda frame: frame.cells[position]


def items_of(over: Run) -> Run:
    """What a macro goes over: the elements of a list, the keys of a map."""

    def run(frame: Frame) -> list[Any]:
        owner = over(frame)
        if type(owner) is list:
            return owner
        if type(owner) is dict:
            frame.charge(len(owner))
            return keys_of(owner)
        raise Failure("a macro goes over what is no list and no map")

    return run


def quantifier(items: Run, at: int, test: Truth, cost: int, stop: bool) -> Truth:
    """``all`` (stop is False) and ``exists`` (stop is True). `cost` is the steps of one element."""

    def run(frame: Frame) -> bool:
        failure: Failure | None = None
        cells = frame.cells
        for item in items(frame):
            frame.left -= cost
            if frame.left < 0:
                raise OverBudget
            cells[at] = item
            try:
                if test(frame) is stop:
                    return stop
            except Failure as failed:
                frame.left -= _ERROR_STEPS
                failure = failed
        if failure is not None:
            raise failure
        return not stop

    return run


def exists_one(items: Run, at: int, test: Truth, cost: int) -> Truth:
    def run(frame: Frame) -> bool:
        count = 0
        for item in items(frame):
            frame.charge(cost)
            frame.cells[at] = item
            count += test(frame)
        return count == 1

    return run


def selection(items: Run, at: int, test: Truth | None, result: Run | None, cost: int) -> Run:
    """``filter`` and ``map``."""

    def run(frame: Frame) -> list[Any]:
        made = []
        for item in items(frame):
            frame.charge(cost)
            frame.cells[at] = item
            if test is None or test(frame):
                made.append(item if result is None else result(frame))
        return made

    return run
