"""Who may answer, and when the answers are enough. Pure: no clock, no store, no channel."""

from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from msgspec import Struct

from funcgate.core.approval import Answer, Approval
from funcgate.core.decision import Hours, Terms


class Person(Struct, frozen=True):
    """Who wants to answer, as it was verified. `agent` is set when it is not the person but something that acts for one."""

    issuer: str
    subject: str
    groups: frozenset[str]
    agent: str = ""

    @property
    def selectors(self) -> frozenset[str]:
        return frozenset({"*", f"user:{self.subject}", *(f"group:{group}" for group in self.groups)})


class Unfit(Exception):
    """This person's answer does not count; the text says why, to the person and to the journal."""


def examine(approval: Approval, person: Person, now: float, *, yes: bool = True) -> None:
    """Raises `Unfit` unless an answer of this person counts now, on at least one of the terms. A yes may be taken back."""
    who = approval.asked.principal
    # Attack: an agent that approves what it asked for, or has its own human's token do so.
    if person.agent:
        raise Unfit("an approval is a person's: a token with which somebody acts for another cannot give one")
    # Attack: approve one's own call, or that of the agent that acts for one; an administrator's too; under another spelling.
    if _one(person.subject) in {_one(name) for name in (who.subject, who.acts_for, who.actor) if name}:
        raise Unfit("nobody answers for their own call, or for that of whoever acts for them")
    mine = [terms for terms in approval.terms if _asked(terms, person.selectors, _climbed(approval, terms, now))]
    if not mine:
        raise Unfit("this person is not among the approvers of this call")
    mine = [terms for terms in mine if terms.hours is None or within(terms.hours, now)]
    # A no counts at every hour: what stops a call need not wait for the morning.
    if yes and not mine:
        raise Unfit("answers to this call do not count at this hour")
    before = [answer for answer in approval.answers if _one(answer.subject) == _one(person.subject)]
    if yes and all(any(_counts(approval, terms, answer) for answer in before) for terms in mine):
        raise Unfit("this person has answered already")


def enough(terms: Sequence[Terms], answers: Sequence[Answer], *, escalated: bool, asked_at: float = 0.0) -> bool:
    """Whether the answers meet all of the terms; no terms are met by nothing. `asked_at`: see `missing`."""
    return bool(terms) and not any(missing(each, answers, escalated=escalated, asked_at=asked_at) for each in terms)


def missing(terms: Terms, answers: Sequence[Answer], *, escalated: bool, asked_at: float = 0.0) -> int:
    """How many more people the terms need. `asked_at` (Unix) is when the call was held: an answer given before these terms
    escalated is none of those who are escalated to; nor does one count that was given out of their hours.

    A person counts once, in whichever of the quorums needs them (a maximum matching): one who is in finance and in security
    is not both.
    """
    seats = [index for index, quorum in enumerate(terms.quorums) for _ in range(quorum.count)]
    # Attack: one person who signs in at two issuers, and makes up a quorum alone. Selectors tell no issuers apart either.
    people = {
        _one(answer.subject): answer
        for answer in answers
        # Attack: at night, answer the terms that have no hours, and meet those that have with the same answer.
        if answer.yes and (terms.hours is None or within(terms.hours, answer.at))
    }
    seated: dict[int, str] = {}

    def seat(person: str, tried: set[int]) -> bool:
        answer = people[person]
        climbed = escalated and answer.at >= asked_at + terms.escalate_after_s
        for number, index in enumerate(seats):
            wanted = terms.quorums[index].approvers + (terms.escalate_to if climbed else ())
            if number in tried or _selectors(answer).isdisjoint(wanted):
                continue
            tried.add(number)
            if number not in seated or seat(seated[number], tried):
                seated[number] = person
                return True
        return False

    for person in people:
        seat(person, set())
    # Terms that ask for nobody are met by nobody: such a call stays held.
    return max(len(seats), 1) - len(seated)


def within(hours: Hours, now: float) -> bool:
    """Whether Unix time `now` is in the window."""
    local = datetime.fromtimestamp(now, UTC).astimezone(ZoneInfo(hours.zone))
    minute, day = local.hour * 60 + local.minute, local.weekday()
    if hours.begin_min < hours.end_min:
        return day in hours.days and hours.begin_min <= minute < hours.end_min
    late, early = (
        day in hours.days and minute >= hours.begin_min,
        (day - 1) % 7 in hours.days and minute < hours.end_min,
    )
    return late or early


def eligible(approval: Approval, selectors: frozenset[str]) -> bool:
    """Whether somebody with these selectors is among those who are asked."""
    return any(_asked(terms, selectors, approval.escalated) for terms in approval.terms)


def _one(subject: str) -> str:
    """Spellings of one subject. An issuer that takes ``Alice@x`` for ``alice@x`` must not make two people of one."""
    return subject.casefold()


def _climbed(approval: Approval, terms: Terms, now: float) -> bool:
    # Attack: one policy escalates after a minute, and those whom another names for after an hour answer at once.
    return approval.escalated and now >= approval.created_at + terms.escalate_after_s


def _asked(terms: Terms, selectors: frozenset[str], escalated: bool) -> bool:
    wanted = {name for quorum in terms.quorums for name in quorum.approvers}
    return not selectors.isdisjoint(wanted | set(terms.escalate_to if escalated else ()))


def _counts(approval: Approval, terms: Terms, answer: Answer) -> bool:
    in_time = terms.hours is None or within(terms.hours, answer.at)
    return in_time and _asked(terms, _selectors(answer), _climbed(approval, terms, answer.at))


def _selectors(answer: Answer) -> frozenset[str]:
    return frozenset({"*", f"user:{answer.subject}", *(f"group:{group}" for group in answer.groups)})
