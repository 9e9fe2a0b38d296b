"""What compiled expressions are made of: closures that take the frame and give a value, or raise `Failure`."""

from collections.abc import Callable
from typing import Any

from .values import Failure, Frame

Run = Callable[[Frame], Any]
Truth = Callable[[Frame], bool]
Compare = Callable[[Any, Any], bool]


def constant(value: Any) -> Run:
    return lambda frame: value


def as_bool(read: Run) -> Truth:
    def run(frame: Frame) -> bool:
        value = read(frame)
        if value is True or value is False:
            return value
        raise Failure("a value that must be a bool is none")

    return run
