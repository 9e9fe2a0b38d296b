"""Where values come in: an argument as it came, held against the type that its schema declares, or against a constant at once.

What passed here is not tested again. Which comparison it is, is not known here.
"""

from typing import Any

from .closures import Compare, Run
from .types import Type
from .values import INT_MAX, INT_MIN, Failure, Frame, check_int, kind_of

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
