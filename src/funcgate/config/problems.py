"""Problems as an operator reads them: file, line, column, what is wrong, and the nearest right spelling.

It holds no value of the configuration but names: a problem is printed, logged and recorded.
"""

import difflib
from collections.abc import Iterable

from msgspec import Struct


class Located(Struct, frozen=True, order=True, kw_only=True):
    """One problem and where it is. `line` and `column` count from 1; 0 says that the whole file is meant."""

    file: str
    line: int = 0
    column: int = 0
    text: str
    warning: bool = False

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {'warning: ' if self.warning else ''}{self.text}"


class Faulty(Exception):
    """A configuration that must not be used. `problems` holds all that was found, in the order of the file."""

    def __init__(self, problems: Iterable[Located]) -> None:
        self.problems = sorted(set(problems))
        super().__init__(f"{len(self.problems)} problem(s)")

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def nearest(word: str, right: Iterable[str]) -> str:
    """The one of `right` that looks most like `word`, or ""."""
    found = difflib.get_close_matches(word, list(right), n=1, cutoff=0.6)
    return found[0] if found else ""


def did_you_mean(word: str, right: Iterable[str]) -> str:
    """``; did you mean 'x'?``, or the list of what is right when nothing looks like `word`."""
    choices = sorted(right)
    found = nearest(word, choices)
    if found:
        return f"; did you mean '{found}'?"
    return f"; there are: {', '.join(choices)}" if choices else ""
