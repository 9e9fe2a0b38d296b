"""What is found out about one statement while its tree is read. It only grows: nothing that was seen is taken back."""

from collections.abc import Iterable

from .functions import OPERATORS, is_dangerous, is_harmless, is_telling
from .places import TEMPORARY, Name
from .statement import Source
from .tree import refused

MAX_STEPS = 100_000

Sources = frozenset[Source] | None
NOTHING: frozenset[Source] = frozenset()

_SEQUENCES = frozenset({"nextval", "pg_catalog.nextval"})


def together(many: Iterable[Sources]) -> Sources:
    """All of them; unknown if one is. Every one is asked for: to read an expression is to note what it calls."""
    out: set[Source] = set()
    unknown = False
    for sources in many:
        # Attack: f() || pg_read_file('...'): what comes after something unknown is not read, and nobody hears of it.
        unknown = unknown or sources is None
        out |= sources or NOTHING
    return None if unknown else frozenset(out)


def known(many: Iterable[Sources]) -> frozenset[Source]:
    """All of them that can be told."""
    return frozenset().union(*(sources or NOTHING for sources in many))


class Facts:
    """`verbs` are what the statement does, `unknown` the functions that are not known to be harmless, `dangers` what a guarded
    target denies; `copied` is what is put into other columns, `filtered_unknown` that a condition looks at something unknown.
    Tables and columns are written as the statement writes them, with aliases undone."""

    def __init__(self) -> None:
        self.verbs: set[str] = set()
        self.reads: set[str] = set()
        self.writes: set[str] = set()
        self.read_names: set[Name] = set()
        self.written_names: set[Name] = set()
        self.columns: set[Source] = set()
        self.filters: set[Source] = set()
        self.written_columns: set[Source] = set()
        self.functions: set[str] = set()
        self.unknown: set[str] = set()
        self.bare_calls: set[tuple[str, int]] = set()
        self.dangers: set[str] = set()
        self.copied: Sources = NOTHING
        self.fields: set[Source] = set()
        self.steps: set[str] = set()
        self.stepped_on: set[Source] = set()
        self.parameters = 0
        self.unfiltered = False
        self.filtered_unknown = False
        self.limit = -1
        self._steps = 0

    def step(self) -> None:
        # Attack: queries inside of recursive queries inside of queries, each read again for each of the others.
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise refused("too much to be read in one statement")

    def called(self, name: tuple[str, ...], given: int = -1) -> bool:
        """Note a call, with so many arguments (-1: nobody counted them); whether the function is harmless."""
        written = ".".join(name)
        self.functions.add(written)
        harmless = is_harmless(name)
        if not harmless:
            self.unknown.add(written)
        elif len(name) == 1:
            self.bare_calls.add((name[0], given))
        if is_dangerous(name):
            self.dangers.add(f"function {written}")
        return harmless

    def harmless(self, name: tuple[str, ...], given: int) -> None:
        """Note a call that is known to be harmless as it is written, of a function that is not."""
        self.functions.add(".".join(name))
        if len(name) == 1:
            self.bare_calls.add((name[0], given))

    def stepped(self, name: str, *, shown: bool) -> None:
        """Note ``value.name``: a field of the value, or a function of one argument called with it; only the database can tell.
        `shown`: it is told policies among the functions, whatever it may be."""
        self.steps.add(name)
        if shown or is_harmless((name,)) or is_dangerous((name,)):
            self.functions.add(name)

    def operated(self, name: tuple[str, ...]) -> bool:
        """Note an operator, which is a function by another name; whether it is harmless."""
        if name[-1] in OPERATORS and (len(name) == 1 or name[0] == "pg_catalog"):
            if len(name) == 1:
                # Attack: 'a'::text + 'b', for which only the owner of the database has an operator.
                self.bare_calls.add((f"operator {name[0]}", -1))
            return True
        self.functions.add(f"operator {'.'.join(name)}")
        self.unknown.add(f"operator {'.'.join(name)}")
        return False

    def typed(self, name: tuple[str, ...]) -> None:
        """Note a type that a value is made of. Its checks and casts are known by its name, in any schema.

        Attack: SELECT 'a'::positive, a domain whose CHECK calls a function that writes.
        """
        if name and name[0] != "pg_catalog":
            self.bare_calls.add((f"type {name[-1]}", -1))

    def read(self, schema: str, table: str) -> None:
        self.reads.add(f"{schema}.{table}" if schema else table)
        self.read_names.add((schema, table))
        if is_telling(schema, table):
            self.dangers.add(f"table {table}")

    def written(self, schema: str, table: str, temporary: bool = False) -> None:
        """`temporary`: what is made there goes with the session."""
        self.writes.add(f"{schema}.{table}" if schema else table)
        self.written_names.add((schema or (TEMPORARY if temporary else ""), table))
        # Attack: UPDATE pg_settings is SET by another name; other tables of the catalogue are the database itself.
        if schema in ("pg_catalog", "information_schema") or table.startswith("pg_"):
            self.dangers.add(f"write to {table}")

    def saw(self, sources: Sources, *, filtering: bool, told: frozenset[Source] = NOTHING) -> None:
        """`told` is what can be told of them, should they not all be known."""
        seen = sources or told
        self.columns |= seen
        if filtering:
            self.filters |= seen
            self.filtered_unknown = self.filtered_unknown or sources is None

    def filter_columns(self) -> set[Source]:
        """What is looked at in conditions and orders. Attack: WHERE on a column made by a function of something hidden."""
        return self.filters | self.columns if self.filtered_unknown else self.filters

    def function(self) -> str:
        """The function that all verbs together make. The most powerful counts; several that write are a function of their own."""
        strong = self.verbs - {"select", "lock"}
        if len(strong) > 1:
            return "mixed"
        if strong:
            # Attack: a function that deletes, called from an INSERT that may insert.
            rows = strong <= {"insert", "upsert", "update", "delete", "merge", "copy_in"}
            return "mixed" if rows and self.unknown - _SEQUENCES else next(iter(strong))
        if self.unknown:
            return "mixed" if "lock" in self.verbs else "call"
        return "lock" if "lock" in self.verbs else "select"
