"""Until when what is recorded of a target is kept. Pure: settings and times in, times out."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from funcgate.recording.keeper.settings import KeepRule

Class = Literal["content", "metadata", "decisions"]
FOR_EVER = float("inf")
NO_TARGET = ""
_DAY = timedelta(days=1)


class Rules:
    """The configured rules. The first that names a target, or ``*``, is the one for it; without any, for ever.

    What belongs to no target (administration, refusals of strangers) is kept as `decisions` says: of the rule for ``*``,
    else of the rule that keeps them longest.
    """

    def __init__(self, rules: Sequence[KeepRule]) -> None:
        self._rules = tuple(rules)

    def kept_s(self, target: str, kind: Class) -> float:
        """Seconds; `FOR_EVER` if nothing ends it."""
        for rule in self._rules:
            if "*" in rule.targets or (target != NO_TARGET and target in rule.targets):
                return _seconds(rule, "decisions" if target == NO_TARGET else kind)
        if target == NO_TARGET and self._rules:
            return max(_seconds(rule, "decisions") for rule in self._rules)
        return FOR_EVER

    def folder(self, target: str) -> str:
        """Where content of the target lies; "" if in the data folder."""
        return next((rule.folder for rule in self._rules if "*" in rule.targets or target in rule.targets), "")

    def due_at(self, target: str, kind: Class, written_at: float) -> float:
        """When what was written then is due: Unix time, UTC, as `written_at` is."""
        return written_at + self.kept_s(target, kind)

    def day_due_at(self, target: str, kind: Class, day: str) -> float:
        """When all that was written on a day (UTC, ``2026-11-21``) is due. Raises `ValueError` for what is no day."""
        return self.due_at(target, kind, end_of(day))


def end_of(day: str) -> float:
    """Unix time. Raises `ValueError` for what is no day."""
    midnight = datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC)
    return (midnight + _DAY).timestamp()


def day_of(at: str) -> str:
    """The UTC day of a time as the journal writes it."""
    return at[:10]


def seconds_of(at: str) -> float:
    """Unix time of a time as the journal writes it. Raises `ValueError` for what is none."""
    return datetime.fromisoformat(at).timestamp()


def time_of(seconds: float) -> str:
    """A time as the journal writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _seconds(rule: KeepRule, kind: Class) -> float:
    given = {"content": rule.content_s, "metadata": rule.metadata_s, "decisions": rule.decisions_s}[kind]
    return FOR_EVER if given is None else given
