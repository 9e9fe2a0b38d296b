"""Conditions that hold arguments against constants, as data: what a compiled judge (policy/_native.pyx) can run.

It is no second language: compile.py notes such a form beside each closure that means the same.
"""

import operator
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

COMPARE, AMONG, SIZE, STARTS, ENDS, CONTAINS, HOLDS, SAME, EXISTS, EVERY, NOT, ALL, ANY = range(13)
# Longer lists and texts than these a compiled judge leaves to the closures: what it may do at most is known beforehand.
MOST_ITEMS, MOST_TEXT = 64, 1024
# Python's own numbers of its comparisons (object.h).
RICH: Mapping[Any, int] = {
    operator.lt: 0, operator.le: 1, operator.eq: 2, operator.ne: 3, operator.gt: 4, operator.ge: 5,
}  # fmt: skip
EQUAL, UNEQUAL = RICH[operator.eq], RICH[operator.ne]
TEXTS: Mapping[str, int] = {"startsWith": STARTS, "endsWith": ENDS, "contains": CONTAINS}


class Source(Struct, frozen=True):
    """What a form looks at: ``args.FIELD``, or with None the element that a loop has come to. `types` are those that it may
    have; an int is within 64 bits."""

    field: str | None
    types: tuple[type, ...]


class Plain(Struct, frozen=True):
    """`source` compared with `value` by `operator` (COMPARE), in the set `value` (AMONG), its length compared (SIZE), a text
    that STARTS, ENDS or CONTAINS `value`, a list that HOLDS the text `value` or is the SAME as the texts of `value`, a list of
    which an element (EXISTS) or each (EVERY) is as the one part says, `cost` steps each; or `parts` together (NOT, ALL, ANY)."""

    form: int
    parts: tuple["Plain", ...] = ()
    source: Source | None = None
    operator: int = -1
    value: Any = None
    cost: int = 0


ALWAYS, NEVER = Plain(ALL), Plain(ANY)


def most_steps(plain: Plain) -> int:
    """What the closure beside this form charges at most as it runs, for all that a compiled judge does not leave to it."""
    inside = sum(map(most_steps, plain.parts))
    if plain.form in (STARTS, ENDS, CONTAINS):
        return (MOST_TEXT + len(plain.value)) >> 6
    if plain.form == HOLDS:
        return (MOST_ITEMS >> 2) + (MOST_ITEMS * len(plain.value) >> 12)
    if plain.form == SAME:
        return len(plain.value) * (3 + (MOST_TEXT >> 8))
    return MOST_ITEMS * (plain.cost + inside) if plain.form in (EXISTS, EVERY) else inside
