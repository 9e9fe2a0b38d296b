"""Conditions that only compare arguments with constants, as data: what a compiled judge (policy/_native.pyx) can run.

It is no second language: compile.py notes such a form beside each closure that means the same.
"""

import operator
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

COMPARE, AMONG, ALL, ANY = range(4)
# Python's own numbers of its comparisons (object.h).
RICH: Mapping[Any, int] = {
    operator.lt: 0, operator.le: 1, operator.eq: 2, operator.ne: 3, operator.gt: 4, operator.ge: 5,
}  # fmt: skip


class Plain(Struct, frozen=True):
    """``args.FIELD operator value`` (COMPARE), ``args.FIELD in value`` (AMONG), or `parts` together.

    `types` are those that the argument may have; an int is within 64 bits.
    """

    form: int
    parts: tuple["Plain", ...] = ()
    field: str = ""
    types: tuple[type, ...] = ()
    operator: int = -1
    value: Any = None


ALWAYS = Plain(ALL)
