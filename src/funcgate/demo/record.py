"""What the journal says about the scenario's calls. All that the demo tells about decisions comes from here."""

import time
from collections.abc import Collection
from pathlib import Path

from msgspec import Struct

from funcgate.core.entry import Entry, Kind
from funcgate.recording.reader import read_entries

DEADLINE_S = 5.0
_DECIDED = {Kind.ALLOWED: "allowed", Kind.ASKED: "held", Kind.DENIED: "denied"}


class Told(Struct, frozen=True):
    """The entries of one call, in the order of the journal."""

    entries: tuple[Entry, ...]

    @property
    def decided(self) -> str:
        """``allowed``, ``held`` or ``denied``: the first decision in the record; "" if there is none."""
        return next((_DECIDED[entry.kind] for entry in self.entries if entry.kind in _DECIDED), "")

    @property
    def who(self) -> str:
        """The principal and its groups as recorded, "" for a caller that was never identified."""
        who = next((entry.principal for entry in self.entries if entry.principal is not None), None)
        return "" if who is None else f"{who.subject} ({', '.join(who.groups)})"

    @property
    def function(self) -> str:
        return next((entry.function for entry in self.entries if entry.function), "")

    @property
    def code(self) -> str:
        return next((entry.code for entry in self.entries if entry.code), "")

    @property
    def why(self) -> str:
        """The policies that decided, and the reason for the operator that the caller never gets."""
        names: dict[str, None] = {}
        for entry in self.entries:
            names.update(dict.fromkeys(entry.policy.names if entry.policy is not None else ()))
        detail = next((entry.detail for entry in self.entries if entry.detail), "")
        unsaid = [repr(name) for name in names if repr(name) not in detail]
        policies = f"policy {', '.join(unsaid)}" if unsaid else ""
        return "; ".join(part for part in (policies, detail) if part)

    @property
    def masked(self) -> str:
        """``credit_card 3, email 2``: what was masked in the answer, by detector."""
        counts = next((entry.masked for entry in reversed(self.entries) if entry.masked), {})
        return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))

    @property
    def closed(self) -> bool:
        """Whether nothing more is to come: ended, or refused before it arrived."""
        kinds = [entry.kind for entry in self.entries]
        return Kind.ENDED in kinds or (Kind.DENIED in kinds and Kind.ARRIVED not in kinds)


def told_of(folder: Path, call_ids: Collection[str]) -> dict[str, Told]:
    """What the journal tells of these calls. Waits some seconds for their last entries, which are written behind."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        found: dict[str, list[Entry]] = {call_id: [] for call_id in call_ids}
        for entry in read_entries(folder):
            if entry.call in found:
                found[entry.call].append(entry)
        told = {call_id: Told(tuple(entries)) for call_id, entries in found.items()}
        if all(one.closed for one in told.values()) or time.monotonic() > deadline:
            return told
        time.sleep(0.02)
