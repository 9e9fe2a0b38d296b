"""The terms of a policy that holds calls, read and checked: terms that nobody could meet are a problem, not a surprise."""

import re
from collections.abc import Sequence
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from funcgate.core.decision import Hours, Quorum, Terms
from funcgate.core.problem import Problem
from funcgate.core.selector import is_principal_selector
from funcgate.core.units import parse_time

from .spec import ApprovalSpec, HoursSpec, QuorumSpec

Where = tuple[str | int, ...]
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_BETWEEN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")


def read_terms(spec: ApprovalSpec, where: Where) -> tuple[Terms, list[Problem]]:
    """The terms, and everything that is wrong with them; with problems the terms are not to be used."""
    reading = _Reading(where)
    escalate, grants = spec.escalate, spec.grants
    if escalate is not None:
        reading.selectors(escalate.to, ("escalate", "to"), "nobody would be told")
    if spec.break_glass:
        reading.selectors(spec.break_glass, ("break_glass",), "")
    if spec.max_pending < 0:
        reading.wrong(("max_pending",), "expected 0 (any number) or more")
    if grants is not None and grants.calls < 1:
        reading.wrong(("grants", "calls"), "a grant is for at least one call")
    terms = Terms(
        quorums=reading.quorums(spec),
        expires_s=reading.time(spec.expires, ("expires",)),
        reason_required=spec.reason_required,
        hours=reading.hours(spec.hours) if spec.hours is not None else None,
        max_pending=spec.max_pending,
        escalate_after_s=reading.time(escalate.after, ("escalate", "after")) if escalate is not None else 0.0,
        escalate_to=tuple(escalate.to) if escalate is not None else (),
        break_glass=tuple(spec.break_glass),
        cancel_on_disconnect=spec.on_disconnect == "cancel",
        grant_max_s=reading.time(grants.expires, ("grants", "expires")) if grants is not None else 0.0,
        grant_max_calls=grants.calls if grants is not None else 0,
    )
    if escalate is not None and terms.escalate_after_s >= terms.expires_s:
        reading.wrong(("escalate", "after"), "by then the approval has expired")
    return terms, reading.problems


class _Reading:
    def __init__(self, where: Where) -> None:
        self._where = where
        self.problems: list[Problem] = []

    def wrong(self, place: Where, text: str) -> None:
        self.problems.append(Problem((*self._where, *place), text))

    def selectors(self, selectors: Sequence[str], place: Where, otherwise: str) -> None:
        if not selectors:
            self.wrong(place, f"{otherwise}: it names nobody")
        for position, selector in enumerate(selectors):
            if not is_principal_selector(selector):
                self.wrong(
                    (*place, position),
                    f"{selector!r} is not a principal: write 'group:NAME', 'user:SUBJECT' or '*'",
                )

    def quorums(self, spec: ApprovalSpec) -> tuple[Quorum, ...]:
        if spec.approvers and spec.all_of:
            self.wrong(("all_of",), "either `approvers` with a `count`, or `all_of`, not both")
        if not spec.approvers and spec.all_of:
            return tuple(self._quorum(each, ("all_of", position)) for position, each in enumerate(spec.all_of))
        return (self._quorum(QuorumSpec(approvers=spec.approvers, count=spec.count), ()),)

    def _quorum(self, spec: QuorumSpec, place: Where) -> Quorum:
        approvers, people = spec.approvers, set(spec.approvers)
        self.selectors(approvers, (*place, "approvers"), "nobody could approve")
        if spec.count < 1:
            self.wrong((*place, "count"), "at least one approver is needed")
        elif spec.count > 20:
            self.wrong((*place, "count"), "more than 20 approvers are never found")
        elif people and all(name.startswith("user:") for name in people) and spec.count > len(people):
            self.wrong((*place, "count"), f"{spec.count} approvers are wanted, but only {len(people)} named")
        return Quorum(tuple(approvers), spec.count)

    def time(self, text: str | int | float, place: Where) -> float:
        try:
            seconds = parse_time(text)
        except ValueError as error:
            self.wrong(place, str(error))
            return 1.0
        if not 0 < seconds < float("inf"):
            what = "an approval" if place == ("expires",) else "this"
            self.wrong(place, f"{what} must last longer than no time, and not forever")
        return seconds

    def hours(self, spec: HoursSpec) -> Hours:
        begin = end = 0
        found = _BETWEEN.fullmatch(spec.between)
        if found is None or int(found[3]) * 60 + int(found[4]) > 24 * 60:
            self.wrong(("hours", "between"), "expected two times of the day, such as 08:00-18:00")
        else:
            begin, end = int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])
        try:
            ZoneInfo(spec.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self.wrong(("hours", "zone"), f"{spec.zone!r} is no time zone such as Europe/Berlin or UTC")
        return Hours(days=self._days(spec.days), begin_min=begin, end_min=end, zone=spec.zone)

    def _days(self, days: str | list[str]) -> frozenset[int]:
        found: set[int] = set()
        for word in [days] if isinstance(days, str) else days:
            first, _, last = word.lower().partition("-")
            if first not in _DAYS or (last or first) not in _DAYS:
                self.wrong(("hours", "days"), f"{word!r} is no day or range of days such as mon-fri")
                continue
            at, end = _DAYS.index(first), _DAYS.index(last or first)
            found.update((at + step) % 7 for step in range((end - at) % 7 + 1))
        if not found:
            self.wrong(("hours", "days"), "no answer would ever count: it names no days")
        return frozenset(found)
