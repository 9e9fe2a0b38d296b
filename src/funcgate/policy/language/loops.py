"""The macros: closures that go over a list or a map, element by element, and charge for each of them as they run."""

from typing import Any

from .closures import Run, Truth
from .values import Failure, Frame, OverBudget, keys_of

_ERROR_STEPS = 10


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
