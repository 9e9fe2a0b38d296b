"""What functions of a database's own may do, by its catalogue: which may write, and which run where one of PostgreSQL's is meant.

functions.py knows PostgreSQL's own by name. What is known of neither may write.
"""

from msgspec import Struct

from .functions import is_harmless


class _Writing(Struct, frozen=True):
    """A function that may write and is not PostgreSQL's: how many arguments it takes, and whether one of these has the same."""

    schema: str
    least: int
    most: int
    alike: bool


class Routines:
    """Functions, aggregates, operators, and types whose checks are functions. `path` are the schemas that names are looked up
    in, the first first."""

    def __init__(self) -> None:
        self.path: list[str] = []
        self.own: set[str] = set()  # PostgreSQL's own of one argument that may write
        self._volatile: dict[tuple[str, str], bool] = {}  # by schema and name, and by ("", name) for any schema
        self._writing: dict[str, list[_Writing]] = {}

    def add(self, schema: str, name: str, least: int, most: int, *, volatile: bool, alike: bool) -> None:
        for key in ((schema, name), ("", name)):
            self._volatile[key] = self._volatile.get(key, False) or volatile
        if volatile:
            self._writing.setdefault(name, []).append(_Writing(schema, least, most, alike))

    def has(self, name: str) -> bool:
        """Whether the owner made one of that name, in any schema."""
        return ("", name) in self._volatile

    def writes(self, name: str) -> bool:
        """Whether a function may write. Those of the owner's making that are declared STABLE or IMMUTABLE may not: PostgreSQL
        itself holds them to it."""
        *schema, last = name.split(".")
        return self._volatile.get((schema[-1] if schema else "", last), True)

    def in_place(self, called: str, given: int) -> list[str]:
        """Functions and operators that may write, and may run where one of PostgreSQL's own is called without its schema.

        Attack: lower(varchar) in public, which deletes: it fits better than lower(text). Or a search_path with pg_catalog last.
        Or sum(text), an aggregate, which PostgreSQL calls immutable whatever it is made of. Or 'a'::text + 'b'.
        """
        path = self.path
        ahead = frozenset(path[: path.index("pg_catalog")]) if "pg_catalog" in path else frozenset(path)
        return [
            f"{other.schema}.{called}"
            for other in self._writing.get(called, ())
            if (given < 0 or other.least <= given <= other.most)
            and (other.schema in ahead or (other.schema in path and not other.alike))
        ]

    def step_writes(self, step: str) -> bool:
        """Whether ``(value).step`` may be a call that writes: of PostgreSQL's own functions, or of one that the path finds."""
        return (step in self.own and not is_harmless((step,))) or bool(self.in_place(step, 1))

    def step_tells(self, step: str) -> bool:
        """Whether ``(value).step`` may be a call whose result comes from anywhere."""
        return step == "current_setting" or step in self.own or self.has(step)
