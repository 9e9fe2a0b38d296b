"""Standing grants: how narrow they are, and whether a call is within one. Pure.

A grant's `args` is a JSON object with a rule for every argument the call had: ``{"is": value}`` or, for a number,
``{"from": low, "to": high}`` (both ends included). An argument without a rule is outside; so is another header field.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from funcgate.core.approval import Answer, Approval, Grant
from funcgate.core.call import Call
from funcgate.core.ids import new_id

from .quorum import enough


class TooWide(Exception):
    """A grant that would allow more than may be granted; the text says what to narrow."""


class Wish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an approver wants to allow beyond the one call: at most `calls` of them within `for_s` seconds, the arguments as
    they are but for `ranges` (argument to ``{"from": …, "to": …}``)."""

    calls: int
    for_s: float
    ranges: dict[str, dict[str, int | float]] = {}

    @property
    def said(self) -> str:
        """As JSON: the same for the same wish, whichever channel spells its numbers (100 or 100.0)."""
        ranges = {name: {end: _plain(value) for end, value in span.items()} for name, span in self.ranges.items()}
        return msgspec.json.encode(
            msgspec.structs.replace(self, for_s=float(self.for_s), ranges=ranges), order="deterministic"
        ).decode()


def agreed(approval: Approval, wish: Wish) -> tuple[Answer, ...]:
    """The answers of those who want this very grant. Raises `TooWide` when they are not enough for it.

    Every yes says for itself whether it goes beyond the one call.
    """
    answers = tuple(answer for answer in approval.answers if answer.yes and answer.wish == wish.said)
    # Attack: of two who approve one call, the second makes a standing grant of it, on the first one's word.
    if not enough(approval.terms, answers, escalated=approval.escalated, asked_at=approval.created_at):
        raise TooWide("all whose approval the call needs must ask for the same grant; or approve it without one")
    return answers


def make_grant(approval: Approval, wish: Wish, now: float) -> Grant:
    """The grant that goes with an approved call. Raises `TooWide`."""
    terms = approval.terms
    most_calls = min((each.grant_max_calls for each in terms), default=0)
    longest_s = min((each.grant_max_s for each in terms), default=0.0)
    # Attack: an approver talked into "allow always". What may be granted at most is said by the policy, and 0 is nothing.
    if not 1 <= wish.calls <= most_calls or not 0 < wish.for_s <= longest_s:
        raise TooWide(f"at most {most_calls} calls within {longest_s:g} s may be granted")
    if approval.asked.masked:
        raise TooWide("an argument is masked: a grant for what nobody can see is none")
    args = msgspec.json.decode(approval.asked.args)
    rules: dict[str, Any] = {name: {"is": value} for name, value in args.items()}
    for name, span in wish.ranges.items():
        rules[name] = _range(name, args.get(name), span)
    who = approval.asked.principal
    return Grant(
        id=new_id(now), issuer=who.issuer, subject=who.subject, acts_for=who.acts_for or "", actor=who.actor or "",
        function=approval.asked.function, args=msgspec.Raw(msgspec.json.encode(rules)), schema=approval.asked.schema,
        fields_digest=approval.asked.fields_digest, calls=wish.calls, created_at=now,
        expires_at=now + wish.for_s, approval=approval.id, answers=approval.answers,
    )  # fmt: skip


def covers(grant: Grant, call: Call, schema: str, now: float, fields_digest: str = "") -> bool:
    """Whether the call, with these header fields (`core.ports.Patience`), is within the grant."""
    who = call.principal
    return (
        not grant.revoked
        and grant.used < grant.calls
        and now < grant.expires_at
        # Attack: an approved call with a field more, that makes the target do something else.
        and (grant.function, grant.schema, grant.fields_digest) == (call.function, schema, fields_digest)
        and (grant.issuer, grant.subject) == (who.issuer, who.subject)
        # Attack: use the grant that one person's agent got for another person's.
        and (grant.acts_for, grant.actor) == (who.acts_for or "", who.actor or "")
        and _within(msgspec.json.decode(grant.args), call.args)
    )


def _plain(number: float) -> int | float:
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _range(name: str, value: Any, span: Mapping[str, int | float]) -> dict[str, int | float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TooWide(f"a range needs a number, and {name!r} is none")
    # Attack: "up to 500" also means less than nothing.
    if set(span) != {"from", "to"}:
        raise TooWide(f"the range of {name!r} needs both 'from' and 'to'")
    if not (span["from"] <= value <= span["to"]):
        raise TooWide(f"the range of {name!r} does not hold the value that was asked for")
    return dict(span)


def _within(rules: Mapping[str, Any], args: Mapping[str, Any]) -> bool:
    # Attack: an argument more, or one left out, that the approver never saw.
    return rules.keys() == args.keys() and all(_fits(rules[name], value) for name, value in args.items())


def _fits(rule: Mapping[str, Any], value: Any) -> bool:
    if "is" in rule:
        return _same(rule["is"], value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return bool(rule["from"] <= value <= rule["to"])


def _same(one: Any, other: Any) -> bool:
    """Equal in value and in kind: 1, 1.0 and true are three things."""
    return type(one) is type(other) and msgspec.json.encode(one, order="sorted") == msgspec.json.encode(
        other, order="sorted"
    )
