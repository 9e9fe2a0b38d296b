"""One beat of a session as lines for a terminal: whatever a caller or a target sent stays within its line."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from funcgate.cli.say import plain
from funcgate.core.entry import Entry, Kind

if TYPE_CHECKING:
    from rich.text import Text

    from funcgate.recording.replay.score import Beat

_INDENT = " " * 16
_STYLES = {Kind.ALLOWED: "green", Kind.DENIED: "red", Kind.ASKED: "yellow", Kind.ANSWERED: "yellow", Kind.ENDED: "dim"}


def lines_of(beat: "Beat", limit: int) -> "Iterator[Text]":
    """The lines of a beat. `limit` is in characters of each thing that may be long; 0 for none."""
    from rich.text import Text

    head = f"{beat.offset_s:>+10.3f} {beat.call or '-':>4} "
    style = _STYLES.get(beat.entry.kind, "")
    for said in _said(beat, limit):
        yield Text(head + said, style=style)
        head = _INDENT


def short(text: str, limit: int) -> str:
    """Text for one line, not longer than that. Attack: a line break in an answer, and what follows looks like a decision."""
    cut = text[:limit] if limit else text
    left = len(text) - len(cut)
    return plain(cut.replace("\n", "⏎")) + (f"… (+{left} characters; --full shows them)" if left else "")


def _said(beat: "Beat", limit: int) -> Iterator[str]:
    entry = beat.entry
    if entry.kind is Kind.ARRIVED:
        yield f"{short(entry.function, limit)} {short(_content(entry.args, entry, entry.args_object or entry.object), limit)}"
        yield from _origin(entry, limit)
    elif entry.kind is Kind.CHUNK:
        piece = f"piece {entry.piece}" if entry.piece else "answer"
        yield f"{piece}: {short(_content(entry.body, entry, entry.object), limit)}{_masked(entry.masked)}"
    elif entry.kind is Kind.ENDED:
        if entry.body is not None:  # of a journal of the first format
            yield f"answer: {short(_content(entry.body, entry, entry.object), limit)}"
        code = f" {entry.code}" if entry.code else ""
        status = f" {entry.status}" if entry.status else ""
        outcome = plain(entry.outcome)
        yield f"{outcome}{status}{short(code, limit)} · {entry.body_bytes} bytes{_masked(entry.masked)} · {_times(beat)}"
    else:
        yield f"{_decision(entry)}{short(_why(entry), limit)}"


def _origin(entry: Entry, limit: int) -> Iterator[str]:
    who = entry.principal
    if who is not None:
        acting = f", acts for {who.acts_for}" if who.acts_for else ""
        came = f" from {short(entry.client, limit)}" if entry.client else ""
        yield f"by {short(f'{who.issuer}/{who.subject}{acting}', limit)}{came}"
    elif entry.sealed is not None and entry.sealed.meta:
        yield "by somebody: the metadata has expired, or no key is configured"
    if entry.reason:
        yield f"reason given: {short(entry.reason, limit)}"


def _decision(entry: Entry) -> str:
    if entry.kind is Kind.ANSWERED:
        who = f" by {plain(entry.principal.subject)}" if entry.principal is not None else ""
        return f"answered: {plain(entry.outcome)}{who}"
    names = {Kind.ALLOWED: "allowed", Kind.ASKED: "held for approval", Kind.DENIED: "denied"}
    return names.get(entry.kind, str(entry.kind))


def _why(entry: Entry) -> str:
    policies = f" by {', '.join(entry.policy.names)}" if entry.policy is not None and entry.policy.names else ""
    code = f" {entry.code}" if entry.code else ""
    return f"{code}{policies}{f': {entry.detail}' if entry.detail else ''}"


def _content(value: Any, entry: Entry, named: str) -> str:
    if value is not None:
        return value if isinstance(value, str) else bytes(value).decode("utf-8", "replace")
    if entry.where:
        return f"(not there: {named}, in the place {entry.where})"
    if entry.sealed is not None and (entry.sealed.content or entry.sealed.content_key):
        return "(encrypted: it has expired, or no key is configured)"
    return f"(not there: {named})" if named else ""


def _masked(counts: Mapping[str, int]) -> str:
    said = ", ".join(f"{plain(name)} {count}" for name, count in sorted(counts.items()))
    return f" · masked {said}" if said else ""


def _times(beat: "Beat") -> str:
    steps = ", ".join(f"{plain(name)} {us / 1000:.1f}" for name, us in beat.entry.timing_us.items())
    return f"{beat.call_s * 1000:.1f} ms{f' ({steps})' if steps else ''}"
