"""The form for a standing approval, and what was filled in."""

from typing import Any

import msgspec

from funcgate.approval.grants import Wish
from funcgate.approval.show import visible
from funcgate.console.sessions import Session
from funcgate.core.approval import Approval
from funcgate.core.units import parse_time

from .frame import Turned, hidden
from .markup import Html, html


def grant_form(approval: Approval, session: Session) -> Html:
    """Nothing, where the terms allow no grant."""
    most = min((terms.grant_max_calls for terms in approval.terms), default=0)
    longest_s = min((terms.grant_max_s for terms in approval.terms), default=0.0)
    if most < 1 or longest_s <= 0 or approval.asked.masked:
        return Html()
    ranges = [
        html(
            "<div><span>{name}: {value}, or</span> "
            '<label class="inline">from <input name="from.{at}" inputmode="decimal" size="12"></label>'
            '<label class="inline">to <input name="to.{at}" inputmode="decimal" size="12"></label></div>',
            name=visible(name), value=str(value), at=at,
        )
        for at, name, value in _numbers(approval)
    ]  # fmt: skip
    return html(
        '<form method="post" action="/approvals/{id}">{hidden}<fieldset><legend>Approve, and allow the same again</legend>'
        "<p>For this caller and this function only, with these arguments, or numbers within a range that you give.</p>"
        '<label class="inline">Further calls, at most <input name="calls" type="number" min="1" max="{most}" required></label>'
        '<label class="inline">Within (such as 30m or 2h, at most {longest}) <input name="for" size="6" required></label>{ranges}'
        '<label><input type="checkbox" name="sure" value="yes" required> I want these further calls to run without being asked'
        '</label><button name="verb" value="grant">Approve and allow</button></fieldset></form>',
        id=approval.id, hidden=hidden(session), most=most, longest=_span(longest_s), ranges=ranges,
    )  # fmt: skip


def wish(approval: Approval, fields: dict[str, str]) -> Wish:
    """What was filled in. Raises `Turned`."""
    if fields.get("sure") != "yes":
        raise Turned("Say that you want further calls to run without being asked, or approve this one only.", 400)
    ranges: dict[str, dict[str, int | float]] = {}
    try:
        for at, name, _ in _numbers(approval):
            span = {end: _number(text) for end in ("from", "to") if (text := fields.get(f"{end}.{at}", "").strip())}
            if span:
                ranges[name] = span
        return Wish(calls=int(fields.get("calls", "")), for_s=parse_time(fields.get("for", "")), ranges=ranges)
    except ValueError:
        raise Turned("Calls and ranges are numbers; the time is such as 30m or 2h.", 400) from None


def _numbers(approval: Approval) -> list[tuple[int, str, int | float]]:
    args: Any = msgspec.json.decode(approval.asked.args)
    found = [
        (name, value) for name, value in args.items() if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    return [(at, name, value) for at, (name, value) in enumerate(found)]


def _number(text: str) -> int | float:
    """As JSON spells numbers: neither NaN nor infinity."""
    value = msgspec.json.decode(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("no number")
    return value


def _span(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds:g}s"
