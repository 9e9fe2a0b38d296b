"""What an approver sees, on every channel: exactly what will run. Nothing is left out without saying so, nothing is invisible."""

import unicodedata
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from funcgate.core.approval import Approval, State

# Zero-width, bidirectional and other format characters, controls, private and unassigned code points, odd spaces and fillers.
_HIDDEN = frozenset({"Cf", "Cc", "Co", "Cn", "Cs", "Zl", "Zp"})
_FILLERS = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5")


class Card(Struct, frozen=True, kw_only=True):
    """One held call in words: (label, text) in order. Texts are plain and harmless; a channel escapes them for its markup.

    `title` and `facts` are always whole; `args` is one line for each argument, `cut` how many characters of it were left out.
    """

    id: str
    state: State
    title: str
    facts: tuple[tuple[str, str], ...]
    args: tuple[tuple[str, str], ...]
    masked: bool
    cut: int
    outcome: str


def visible(text: str) -> str:
    """The text with everything that a reader could not see, or that moves other text about, written out: ``⟨U+202E⟩``."""
    # Attack: right-to-left overrides and zero-width characters that make an approver read another amount or name.
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(character) for character in text)


def card(approval: Approval, limit: int = 0) -> Card:
    """What to show of an approval. At most `limit` characters of arguments (0: all of them); what is cut is counted."""
    asked, who = approval.asked, approval.asked.principal
    args, cut = _arguments(msgspec.json.decode(asked.args), limit)
    acting = f", acting for {visible(who.acts_for)}" if who.acts_for else ""
    facts = [
        ("Who", f"{visible(who.subject)} ({visible(who.issuer)}){acting}"),
        ("Groups", ", ".join(map(visible, who.groups)) or "none"),
        ("Function", visible(asked.function)),
        ("Reason given", visible(asked.reason) or "none"),
        ("Asked by", visible(", ".join(asked.policies))),
        ("Needs", needs(approval)),
        ("Expires", _time(approval.expires_at)),
        ("Bytes", asked.digest),
    ]
    title = f"{visible(who.subject)} wants to call {visible(asked.function)}"
    return Card(
        id=approval.id, state=approval.state, title=title, facts=tuple(facts), args=args, masked=asked.masked, cut=cut,
        outcome=outcome(approval),
    )  # fmt: skip


def needs(approval: Approval) -> str:
    """``1 of group:finance and 1 of group:security``."""
    wanted = [
        f"{quorum.count} of {visible(' or '.join(quorum.approvers))}"
        for terms in approval.terms
        for quorum in terms.quorums
    ]
    return " and ".join(dict.fromkeys(wanted)) or "nobody"


def outcome(approval: Approval) -> str:
    """How it stands, in one sentence with names and times."""
    said = [
        f"{'approved' if answer.yes else 'rejected'} by {visible(answer.subject)} at {_time(answer.at)}"
        + (f" ({visible(answer.reason)})" if answer.reason else "")
        for answer in approval.answers
    ]
    ends = {
        State.PENDING: "waiting",
        State.APPROVED: "approved, not run yet",
        State.REJECTED: "rejected",
        State.EXPIRED: "expired",
        State.CANCELLED: f"cancelled: {visible(approval.why)}",
        State.USED: "ran at once: the glass was broken"
        if approval.why == "break_glass"
        else f"ran as {approval.used_by}",
    }
    return "; ".join([*said, ends[approval.state]])


def _arguments(args: Any, limit: int) -> tuple[tuple[tuple[str, str], ...], int]:
    shown: list[tuple[str, str]] = []
    left, cut = limit or 1 << 62, 0
    for name, value in args.items() if isinstance(args, dict) else [("", args)]:
        text = visible(value) if isinstance(value, str) else visible(msgspec.json.encode(value).decode())
        kept = text[: max(left, 0)]
        cut += len(text) - len(kept)
        left -= len(text)
        shown.append((visible(name), kept))
    return tuple(shown), cut


def _visible(character: str) -> str:
    if character in ("\n", "\t"):
        return {"\n": "⏎", "\t": "⇥"}[character]
    kind = unicodedata.category(character)
    if kind in _HIDDEN or character in _FILLERS or (kind == "Zs" and character != " "):
        return f"⟨U+{ord(character):04X}⟩"
    return character


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
