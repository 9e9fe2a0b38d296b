"""Which columns of a table are hidden: ``fields`` of the masking rules, read as names of columns. Knows no protocol.

What comes from a hidden column is hidden, and so is what nobody can tell the origin of.
"""

import re
from collections.abc import Mapping, Sequence

from .fields import parse_path

Name = tuple[str, str, str]  # schema, table, column; "" where it is not known
LABEL = "[REDACTED:field]"
_ANY = ("*", "**")
# PostgreSQL's letters of a message's fields: those that tell of values. Names of tables and columns, codes and places stay.
_TELLING = frozenset("DHWq")
_INSIDE = frozenset("Wpq")  # it was found wrong while something was run: the place may be one in a value
_RAISED = frozenset({"", "00", "01", "P0", "XX"})
_LANGUAGES = frozenset(
    {"pl_exec.c", "plperl.c", "plpy_elog.c", "pltcl.c"}
)  # where the server says what a function raises
_WORDS = frozenset("stcdn")  # a function may say these, too: USING COLUMN = ssn
# Attack: ('x"' || ssn || '"y')::int, with quotes inside of those of the message, or a server that speaks German: „…“. So all
# from the first quote to the last, and all behind a colon: "operator does not exist: …" has no quotes.
_MARK = "[\"'\u2018\u2019\u201a\u201c-\u201e\u2039\u203a\u00ab\u00bb\u300c-\u300f]"
_QUOTED = re.compile(rf"(?<=: ).+|{_MARK}.*{_MARK}|\(.*\)|\d[\d.:-]*\d|\d", re.DOTALL)


class ColumnRules:
    """The rules of one function. True when there are any."""

    __slots__ = ("_known", "_rules")

    def __init__(self, paths: Sequence[str] = ()) -> None:
        """`paths` are ``column``, ``table.column`` or ``schema.table.column``; ``*`` is any name. Others name no column."""
        steps = [parse_path(path) for path in paths]
        self._rules = [_three(path) for path in steps if len(_three(path)) == 3]
        self._known: dict[tuple[Name, ...], bool] = {}

    def __bool__(self) -> bool:
        return bool(self._rules)

    @staticmethod
    def is_column(path: str) -> bool:
        """Whether the path of a field can name a column. True for what is no path at all: others complain of that."""
        try:
            return bool(_three(parse_path(path)))
        except ValueError:
            return True

    def label(self, of: Sequence[Name] | None) -> str | None:
        """What to show in place of a value that comes from these columns, None for the value itself.

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
        # Class 42 with a place in the statement: it was never run; what is quoted are the words of its author.
        kind = fields.get("C", "")[:2]
        # Attack: ssn::regclass, to_tsquery(ssn): a value is read as a name, or parsed, and told in an error of this class.
        if kind == "42" and "P" in fields and not _INSIDE & fields.keys():
            return dict(fields)
        raised = fields.get("F") in _LANGUAGES
        telling = _TELLING | _WORDS if raised else _TELLING
        shown = {letter: LABEL if letter in telling else text for letter, text in fields.items()}
        if "M" in shown:
            # What RAISE says is anybody's text, without quotes to know values by, under whatever code it says.
            raised = raised or kind in _RAISED
            shown["M"] = LABEL if raised else _QUOTED.sub(LABEL, shown["M"])
        return shown

    def _covers(self, name: Name) -> bool:
        if any(all(map(_is, wanted, name)) for wanted in self._rules):
            return True
        # A path cannot say which of its dots are in a name: "address.street" of people is people.address.street.
        parts = ".".join(name).split(".")
        return len(parts) > 3 and any(_ends_with(parts, wanted) for wanted in self._rules)


def _ends_with(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    return all(_is(one, part) for one, part in zip(reversed(wanted), reversed(parts), strict=False))


def _is(wanted: str, name: str) -> bool:
    """Whether the two may be the same: a name that is not known, or stands for all, may be any."""
    return wanted == name or wanted in _ANY or name in ("", "*")


def _three(steps: Sequence[str]) -> tuple[str, ...]:
    """Schema, table and column."""
    if "[*]" in steps:
        return ()
    kept = [step for at, step in enumerate(steps) if step != "**" or at]
    return ("*",) * (3 - len(kept)) + tuple(kept) if len(kept) <= 3 else ()
