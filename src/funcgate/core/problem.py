"""What is wrong with a configuration, and where: parts name the place by its path, the loader adds file and line."""

from msgspec import Struct


class Problem(Struct, frozen=True):
    """One thing to mend.

    `where` is the path into the configuration, from the root: ``("policies", 3, "when")``. `text` says what is wrong and
    what to do, in one sentence that holds no secret. `column` is the zero-based offset inside a text value (a condition),
    -1 if it does not apply. `file` is set when the problem is in another file than the configuration (an OpenAPI description).
    """

    where: tuple[str | int, ...]
    text: str
    column: int = -1
    file: str = ""
    warning: bool = False


class Unusable(Exception):
    """A configuration that must not be used. Holds every problem that was found, not only the first."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(f"{len(problems)} problem(s)")
        self.problems = problems
