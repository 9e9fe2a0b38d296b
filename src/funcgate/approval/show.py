"""What an approver sees, on every channel: exactly what will run. Nothing is left out without saying so, nothing is invisible."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from funcgate.core.approval import Approval, State

# Zero-width, bidirectional and other format characters, controls, private and unassigned code points, odd spaces, fillers and
# variation selectors.
_HIDDEN = frozenset({"Cf", "Cc", "Co", "Cn", "Cs", "Zl", "Zp"})
_FILLERS = frozenset(
    "\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5\u180b\u180c\u180d\u180f\U00016fe4\U0001d159"
    + "".join(map(chr, [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]))
)
_BESIDE = len(" = \n")  # what stands beside an argument's name and value


class Card(Struct, frozen=True, kw_only=True):
    """One held call in words: (label, text) in order. Texts are plain and harmless; a channel escapes them for its markup.

    `args` is one line for each argument, its value as JSON. `cut` is how many characters of facts and arguments were left
    out; where it is not 0, a yes may not be offered. What `title` says is in the facts, too.
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
    """What to show of an approval. At most `limit` characters of facts and arguments (0: all); what is cut is counted."""
    asked, who = approval.asked, approval.asked.principal
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
    if asked.fields:
        facts.append(("Also sent", visible("; ".join(asked.fields))))
    if offer := granted(approval):
        facts.append(("May be granted", offer))
    room = _Room(limit or 1 << 62)
    told = tuple(room.take(facts))
    args = tuple(room.take(_arguments(msgspec.json.decode(asked.args))))
    title = f"{visible(who.subject)} wants to call {visible(asked.function)}"
    return Card(
        id=approval.id, state=approval.state, title=title, facts=told, args=args, masked=asked.masked, cut=room.cut,
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


def granted(approval: Approval) -> str:
    """What may be allowed beyond the one call, and how; "" where nothing may, or nothing can be answered any more."""
    calls = min((terms.grant_max_calls for terms in approval.terms), default=0)
    longest_s = min((terms.grant_max_s for terms in approval.terms), default=0.0)
    if approval.state is not State.PENDING or approval.asked.masked or calls < 1 or longest_s <= 0:
        return ""
    within = f"{longest_s / 3600:g} h" if longest_s >= 3600 else f"{longest_s / 60:g} min"
    how = f"at the console, or funcgate approvals approve {approval.id} --calls N --for TIME"
    return f"the same call up to {calls} times more within {within}: {how}"


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


def pieces(text: str, size: int) -> list[str]:
    """The text in parts of at most `size` characters; each says that it goes on, or went before."""
    # Attack: a text made so long that its second part begins like another argument.
    room = size - 4
    parts = [text[at : at + room] for at in range(0, len(text), room)] or [""]
    last = len(parts) - 1
    return [f"{'… ' if at else ''}{part}{' …' if at < last else ''}" for at, part in enumerate(parts)]


class _Room:
    """What may be shown, in characters, and how much was cut."""

    def __init__(self, left: int) -> None:
        self._left = left
        self.cut = 0

    def take(self, lines: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        for label, text in lines:
            self._left -= len(label) + _BESIDE
            if self._left < 0:
                self.cut += len(label) + len(text)
                continue
            kept = text[: self._left]
            self.cut += len(text) - len(kept)
            self._left -= len(kept)
            yield label, kept


def _arguments(args: Any) -> Iterator[tuple[str, str]]:
    """Name and value, as JSON: 5 is not "5", and no text can be taken for another argument."""
    for name, value in args.items() if isinstance(args, dict) else [("", args)]:
        label = name if re.fullmatch(r"[\w.-]*", name) else msgspec.json.encode(name).decode()
        yield _spaced(visible(label)), _spaced(visible(msgspec.json.encode(value).decode()))


def _spaced(text: str) -> str:
    # Attack: spaces that push the rest of a value out of sight, or that a channel shows as one.
    return re.sub("(?<= ) ", "␠", text)


def _visible(character: str) -> str:
    if character in ("\n", "\t"):
        return {"\n": "⏎", "\t": "⇥"}[character]
    kind = unicodedata.category(character)
    if kind in _HIDDEN or character in _FILLERS or (kind == "Zs" and character != " "):
        return f"⟨U+{ord(character):04X}⟩"
    return character


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
