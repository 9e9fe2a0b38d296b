"""What another process sent in one piece, on its way through a batch: what is done once it is written, or was not."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from funcgate.core.entry import Entry, Kind
from funcgate.core.native import half
from funcgate.core.refusal import Refused
from funcgate.stores.parcels import entries_of, groups_of
from funcgate.stores.told import No


class Sender(Protocol):
    """Whose it is."""

    here: bool
    open: set[str]

    @property
    def waited_for(self) -> bool: ...

    def settled(self, parcel: "Parcel") -> None: ...

    def answer(self) -> None: ...


class Parcel:
    """What a guest sent in one piece. It stands among a batch's waiters, if somebody waits there, but is told as a `Batch`'s
    parcel: so it is always `done`."""

    __slots__ = ("count", "groups_left", "guest", "left", "number", "payload", "prompt", "refused", "size")

    def __init__(self, guest: Sender, number: int, payload: bytes, prompt: bool) -> None:
        self.guest = guest
        self.number = number
        self.payload = payload
        self.prompt = prompt  # somebody there waits for the answer, be it only that all is written
        self.size = len(payload)
        self.count = 0  # lines
        self.left: list[int] = []  # which of its lines were left out
        self.groups_left = 0
        self.refused: list[No] = []

    @property
    def groups(self) -> list[tuple[bool, list[bytes]]]:
        """Its groups, without the lines that were left out."""
        found: list[tuple[bool, list[bytes]]] = []
        place, left = 0, set(self.left)
        for waits, lines in groups_of(self.payload):
            found.append((waits, [line for at, line in enumerate(lines, place) if at not in left]))
            place += len(lines)
        return found

    def settle(self) -> None:
        """All of it is written, or kept."""
        self.guest.settled(self)

    def settle_one(self) -> None:
        self.groups_left -= 1
        if not self.groups_left:
            self.settle()

    def refuse(self, place: int, refused: Refused) -> None:
        self.refused.append(No(place, refused.code.value, refused.private_detail))
        self.settle_one()

    def apart(self) -> Iterator[tuple[tuple[Entry, ...], "Waits | None"]]:
        """Its groups as entries, after its batch failed: with who waits, None where nobody does. Each is to be settled; what
        nobody waits for is settled with the next."""
        groups = self.groups
        self.groups_left = len(groups) + 1
        for place, (waits, lines) in enumerate(groups):
            entries = entries_of(lines)
            if waits and self.guest.waited_for:
                yield entries, Waits(self, place, entries)
            else:
                yield entries, None
                self.settle_one()
        self.settle_one()

    def done(self) -> bool:
        return True

    def set_result(self, result: None) -> None: ...

    def set_exception(self, exception: BaseException) -> None: ...


class Waits:
    """Who waits for one group, as a future would."""

    __slots__ = ("_entries", "_parcel", "_place")

    def __init__(self, parcel: Parcel, place: int, entries: tuple[Entry, ...]) -> None:
        self._parcel = parcel
        self._place = place
        self._entries = entries

    @property
    def gone(self) -> bool:
        return not self._parcel.guest.here

    def done(self) -> bool:
        return False

    def set_result(self, result: None) -> None:
        self._parcel.settle_one()
        self._parcel.guest.answer()

    def set_exception(self, exception: BaseException) -> None:
        guest = self._parcel.guest
        guest.open.difference_update([entry.call for entry in self._entries if entry.kind is Kind.ARRIVED])
        if isinstance(exception, Refused):
            self._parcel.refuse(self._place, exception)
        guest.answer()


# This text is compiled, too, with types (_parcel.pxd).
if (
    not TYPE_CHECKING
    and __name__.endswith(".parcel")
    and (_native := half("funcgate.stores.journal_files._parcel")) is not None
):
    globals().update(Parcel=_native.Parcel, Waits=_native.Waits)
