"""The masking part of the configuration: its shape, its compilation, and one masker per function.

It refuses, with all problems at once, rules that would load but hide nothing.
"""

from collections.abc import Collection, Sequence
from difflib import get_close_matches
from typing import Any, Literal

from msgspec import Struct

from funcgate.core.problem import Problem, Unusable
from funcgate.core.selector import matching

from .actions import Action, Replace, field_replacement, replacement
from .columns import ColumnRules
from .detector import Detector
from .detectors import DETECTORS
from .fields import NO_FIELDS, Fields, parse_path
from .masker import Masker
from .rules import Rules
from .sight import Sights

DECODED_LIMIT = 16 << 20
NO_COLUMNS = ColumnRules()
Detect = list[str] | str
_ACTIONS = ("redact", "partial", "hash")


class RuleSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of ``masking:``. `detect` is ``all`` or names of detectors; `fields` are paths (see fields.py)."""

    functions: list[str]
    detect: Detect = []
    fields: list[str] = []
    action: Literal["redact", "partial", "hash", "tokenize"] = "redact"


class MaskingPlan:
    """Every function's rules, compiled. Functions with equal rules share them."""

    def __init__(
        self,
        rules: dict[str, Rules],
        journal: dict[str, Rules],
        default: Rules,
        decoded_limit: int,
        columns: dict[str, ColumnRules] | None = None,
    ) -> None:
        self._columns = columns or {}
        self._rules = rules
        self._journal = journal
        self._default = default
        self._limit = decoded_limit
        self._sights = Sights()
        self._maskers: dict[tuple[str, bool], Masker] = {}

    def columns(self, function: str) -> ColumnRules:
        """The fields of a function's rules as names of columns, for functions whose answers are rows."""
        return self._columns.get(function, NO_COLUMNS)

    def masker(self, function: str, *, unmaskable_pass: bool = False) -> Masker:
        """The masker of a function (full name), the same one each time. One without rules still scrubs credentials."""
        masker = self._maskers.get((function, unmaskable_pass))
        if masker is None:
            masker = self._maskers[function, unmaskable_pass] = Masker(
                self._rules.get(function),
                self._journal.get(function, self._default),
                self._sights,
                unmaskable_pass=unmaskable_pass,
                decoded_limit=self._limit,
            )
        return masker


class Choice:
    """What the rules that name one function add up to. The first rule that names a detector or field decides its action."""

    def __init__(self) -> None:
        self.detect: dict[str, Action] = {}
        self.fields: dict[str, Action] = {}

    def add(self, names: Sequence[str], fields: Sequence[str], action: Action) -> None:
        for name in names:
            self.detect.setdefault(name, action)
        for path in fields:
            self.fields.setdefault(path, action)

    @property
    def key(self) -> Any:
        return tuple(self.detect.items()), tuple(self.fields.items())


def compile_rules(
    rules: Sequence[RuleSpec],
    functions: Sequence[str],
    *,
    where: tuple[str | int, ...] = ("masking",),
    hash_key: bytes,
    journal_detect: Detect = "all",
    decoded_limit: int = DECODED_LIMIT,
    rows: Collection[str] = (),
) -> MaskingPlan:
    """Compile the rules for these functions (full names). `hash_key` is secret and lasts as long as the installation;
    `decoded_limit` is in bytes, for what is decompressed or collected; `rows` are the functions whose answers are rows of
    tables. Raises `Unusable`."""
    problems: list[Problem] = []
    names = list(functions)
    choices: dict[str, Choice] = {}
    for at, rule in enumerate(rules):
        found, detect = checked(rule, names, (*where, at), problems)
        if found and not set(found) - set(rows):
            problems += [
                Problem(
                    (*where, at, "fields", i),
                    f"{path!r} names no column: write column, table.column or schema.table.column",
                )
                for i, path in enumerate(rule.fields)
                if not ColumnRules.is_column(path)
            ]
        if rule.action != "tokenize":
            for function in found:
                choices.setdefault(function, Choice()).add(detect, rule.fields, rule.action)
    journal = detectors_named(journal_detect, ("journal", "detect"), problems)
    if problems:
        raise Unusable(problems)
    made: dict[Any, Rules] = {}

    def rules_of(choice: Choice) -> Rules:
        if choice.key not in made:
            made[choice.key] = compiled(choice, hash_key)
        return made[choice.key]

    default = Choice()
    default.add(journal, (), "redact")
    by_function, for_journal = {}, {}
    for function, choice in choices.items():
        by_function[function] = rules_of(choice)
        recorded = Choice()
        recorded.detect, recorded.fields = dict(choice.detect), dict(choice.fields)
        recorded.add(journal, (), "redact")
        for_journal[function] = rules_of(recorded)
    columns = {function: ColumnRules([*choice.fields]) for function, choice in choices.items()}
    return MaskingPlan(by_function, for_journal, rules_of(default), decoded_limit, columns)


def checked(
    rule: RuleSpec, functions: list[str], where: tuple[str | int, ...], problems: list[Problem]
) -> tuple[list[str], list[str]]:
    """The functions and detectors that a rule means; what is wrong with it goes to `problems`."""
    found: list[str] = []
    for at, pattern in enumerate(rule.functions):
        names = matching(pattern, functions)
        found += names
        if not names:
            problems.append(
                Problem((*where, "functions", at), f"{pattern!r} matches no function{nearest(pattern, functions)}")
            )
    if not rule.functions:
        problems.append(Problem((*where, "functions"), "name at least one function, or '*' for all"))
    if not rule.detect and not rule.fields:
        problems.append(Problem(where, "this rule hides nothing: give it detect, fields or both"))
    if rule.action == "tokenize":
        problems.append(Problem((*where, "action"), f"tokenize is not there yet; use one of {', '.join(_ACTIONS)}"))
    for at, path in enumerate(rule.fields):
        try:
            parse_path(path)
        except ValueError as error:
            problems.append(Problem((*where, "fields", at), str(error)))
    return found, detectors_named(rule.detect, (*where, "detect"), problems)


def detectors_named(detect: Detect, where: tuple[str | int, ...], problems: list[Problem]) -> list[str]:
    """The names of detectors, spelled out. A single string other than ``all`` is taken as one name."""
    if detect == "all":
        return [*DETECTORS]
    names = [detect] if isinstance(detect, str) else detect
    for at, name in enumerate(names):
        if name == "all":
            problems.append(Problem((*where, at), "write detect: all, without a list"))
        elif name not in DETECTORS:
            known = nearest(name, [*DETECTORS]) or f"; there are: {', '.join(DETECTORS)}"
            problems.append(Problem((*where, at), f"there is no detector {name!r}{known}"))
    return names


def nearest(name: str, names: Sequence[str]) -> str:
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def compiled(choice: Choice, hash_key: bytes) -> Rules:
    chosen: list[tuple[Detector, Replace]] = [
        (DETECTORS[name], replacement(action, DETECTORS[name], hash_key)) for name, action in choice.detect.items()
    ]
    paths = {path: field_replacement(action, hash_key) for path, action in choice.fields.items()}
    return Rules(chosen, Fields(paths) if paths else NO_FIELDS, choice.key)
