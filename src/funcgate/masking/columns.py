"""Which columns of a table are hidden: ``fields`` of the masking rules, read as names of columns. Knows no protocol.

What comes from a hidden column is hidden, and so is what nobody can tell the origin of.
"""

import re
from collections.abc import Mapping, Sequence

from .fields import parse_path

LABEL = "[REDACTED:field]"
_ANY = ("*", "**")
# PostgreSQL's letters of a message's fields: those that tell of values. Names of tables and columns, codes and places stay.
_TELLING = frozenset("DHWq")
_RAISED = frozenset({"", "00", "01", "P0", "XX"})
_QUOTED = re.compile(r'"[^"]*"|\'[^\']*\'|\([^()]*\)|\d[\d.:-]*\d|\d')


class ColumnRules:
    """The rules of one function. True when there are any."""

    __slots__ = ("_known", "_rules")

    def __init__(self, paths: Sequence[str] = ()) -> None:
        """`paths` are ``column``, ``table.column`` or ``schema.table.column``; ``*`` is any name. Others name no column."""
        steps = [parse_path(path) for path in paths]
        self._rules = [_three(path) for path in steps if len(_three(path)) == 3]
        self._known: dict[tuple[str, ...], bool] = {}

    def __bool__(self) -> bool:
        return bool(self._rules)

    @staticmethod
    def is_column(path: str) -> bool:
        """Whether the path of a field can name a column. True for what is no path at all: others complain of that."""
        try:
            return bool(_three(parse_path(path)))
        except ValueError:
            return True

    def label(self, of: Sequence[str] | None) -> str | None:
        """What to show in place of a value that comes from these columns (``schema.table.column``), None for the value itself.

        `of` None: nobody knows where it comes from.
        """
        if not self._rules:
            return None
        if of is None:
            return LABEL
        key = tuple(of)
        if key not in self._known:
            if len(self._known) > 1024:
                self._known.clear()
            self._known[key] = any(self._covers(name) for name in key)
        return LABEL if self._known[key] else None

    def message(self, fields: Mapping[str, str]) -> dict[str, str]:
        """An error or a notice without values. Attack: CAST(ssn AS integer), and read it off the error."""
        if not self._rules:
            return dict(fields)
        # Class 42: the statement itself is wrong; what is quoted then are the words of its author.
        kind = fields.get("C", "")[:2]
        if kind == "42":
            return dict(fields)
        shown = {letter: LABEL if letter in _TELLING else text for letter, text in fields.items()}
        if "M" in shown:
            # What RAISE says is anybody's text, without quotes to know values by.
            shown["M"] = LABEL if kind in _RAISED else _QUOTED.sub(LABEL, shown["M"])
        return shown

    def _covers(self, name: str) -> bool:
        parts = name.split(".")
        schema, table, column = (["", *parts] if len(parts) == 2 else parts[:3]) if len(parts) > 1 else ["", "", name]
        return any(
            _is(wanted[0], schema) and _is(wanted[1], table) and _is(wanted[2], column) for wanted in self._rules
        )


def _is(wanted: str, name: str) -> bool:
    """Whether the two may be the same: a name that is not known, or stands for all, may be any."""
    return wanted == name or wanted in _ANY or name in ("", "*")


def _three(steps: Sequence[str]) -> tuple[str, ...]:
    """Schema, table and column."""
    if "[*]" in steps:
        return ()
    kept = [step for at, step in enumerate(steps) if step != "**" or at]
    return ("*",) * (3 - len(kept)) + tuple(kept) if len(kept) <= 3 else ()
