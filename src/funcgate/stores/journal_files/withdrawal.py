"""What becomes of the entries of a batch that could not be written: refused, kept, or owed."""

from collections.abc import Callable, Iterable

from funcgate.core.entry import Drawn, Entry, Kind
from funcgate.core.refusal import Code, Refused

from .batch import Batch, Waiter
from .parcel import Waits

_ARRIVED, _DENIED, _ENDED = Kind.ARRIVED, Kind.DENIED, Kind.ENDED
Group = tuple[tuple[Entry | Drawn, ...], Waiter]


def is_owed(entries: tuple[Entry | Drawn, ...]) -> bool:
    """What the reserve is for: refusals, and what is owed to calls that are under way."""
    kinds = {entry.kind for entry in entries}
    return _DENIED in kinds or _ARRIVED not in kinds


def _is_gone(waiter: Waiter) -> bool:
    """Whoever waited is not there to be refused, and has said so, or will: the end of its call is noted. Without its beginning
    that would be the end of nothing."""
    return waiter.done() or (isinstance(waiter, Waits) and waiter.gone)


class Withdrawal:
    """Of one failure. Whoever waits is refused, but for what is `owed`, if there is room for it: `spends`. What nobody waits
    for is kept. `open_` are the calls that a reader of the disk would find open."""

    def __init__(
        self, reason: str, keep: Callable[[Iterable[Entry | Drawn]], None], open_: set[str], *, spends: bool
    ) -> None:
        self._reason = reason
        self._keep = keep
        self._open = open_
        self._spends = spends
        self._withdrawn: set[str] = set()
        self.owed: list[Group] = []

    def take(self, batch: Batch) -> None:
        """All that was in the batch, in its order as far as that counts: what one that is gone sent comes before its end."""
        appended = list(zip(batch.appended, batch.waiters, strict=True))
        gone = [pair for pair in appended if _is_gone(pair[1])]
        for parcel in batch.parcels:
            self._give_back(parcel.apart())
        self._give_back([(entries, None) for entries, _ in gone])
        self._keep(batch.noted)
        self._give_back(appended if not gone else [pair for pair in appended if not _is_gone(pair[1])])
        for parcel in batch.parcels:
            parcel.guest.answer()

    def _give_back(self, groups: Iterable[tuple[tuple[Entry | Drawn, ...], Waiter | None]]) -> None:
        for entries, waiter in groups:
            if (
                waiter is None
            ):  # what another process said of the end of a call that was withdrawn is no end of anything
                self._keep([one for one in entries if one.kind is not _ENDED or one.call not in self._withdrawn])
                continue
            arrived = [entry.call for entry in entries if entry.kind is _ARRIVED]
            self._open.difference_update(arrived)
            if self._spends and is_owed(entries):
                self.owed.append((entries, waiter))
            elif not waiter.done():
                self._withdrawn.update(arrived)
                waiter.set_exception(Refused(Code.JOURNAL_UNAVAILABLE, private_detail=self._reason))
