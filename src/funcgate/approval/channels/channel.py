"""What a channel is. It verifies who answered and what; whether the answer counts is the desk's to say."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from msgspec import Struct

from funcgate.approval.quorum import Person
from funcgate.approval.spec import PersonSpec
from funcgate.core.approval import Approval


class NotTold(Exception):
    """The channel could not be told. The text is for the operator and holds no secret; it is tried again after `after_s`.

    `alone`: it is about this one message; others may be told meanwhile.
    """

    def __init__(self, text: str, after_s: float = 0.0, *, alone: bool = False) -> None:
        super().__init__(text)
        self.after_s = after_s
        self.alone = alone


class Heard(Struct, frozen=True, kw_only=True):
    """An answer whose sender is verified: `yes` to `approval`, by `person`. `back` is the way back to the sender."""

    approval: str
    yes: bool
    person: Person
    reason: str = ""
    back: str = ""


class Said(Struct, frozen=True, kw_only=True):
    """What to say back to the channel, at once: an HTTP answer."""

    status: int = 200
    media: str = "application/json"
    body: bytes = b"{}"


class Forged(Exception):
    """What came in is not the channel's word: no signature, a wrong one, an old or a repeated one, or nobody's who is known.

    `approval` is the one it names, if it can be read. The text goes into the record, not to the sender: whoever proved to be
    the channel is told `said`, others nothing.
    """

    def __init__(self, text: str, approval: str = "", said: Said | None = None) -> None:
        super().__init__(text)
        self.approval = approval
        self.said = said


class Channel(Protocol):
    """One configured channel."""

    name: str

    async def tell(self, approval: Approval, reference: str) -> str:
        """Show the approval as it is now: a new message, or the one at `reference` changed. Returns where the message is.

        Telling the same twice must be harmless. Raises `NotTold`.
        """
        ...

    async def hear(self, headers: Mapping[str, str], body: bytes, now: float) -> Heard | Said:
        """What came in on the channel's own address (header names in lower case). Raises `Forged`.

        `Said` for what is no answer (a challenge, a button without a meaning).
        """
        ...

    async def reply(self, heard: Heard, approval: Approval | None, refusal: str) -> Said:
        """Tell the sender of an answer how the approval stands, or why the answer does not count. Raises nothing."""
        ...

    async def close(self) -> None: ...


class People:
    """Which identity of the channel is which person. Nobody who is not listed answers."""

    def __init__(self, people: Iterable[PersonSpec]) -> None:
        self._people = {each.id: Person(each.issuer, each.subject, frozenset(each.groups), "") for each in people}

    def person(self, name: str, approval: str) -> Person:
        """Raises `Forged`."""
        # Attack: anybody in the workspace presses the button. Being able to see a message is no right to answer it.
        found = self._people.get(name)
        if found is None:
            raise Forged("the channel's user is not mapped to anybody", approval)
        return found


class Once:
    """Messages that were seen already, for as long as one could be played again."""

    def __init__(self, keep_s: float, most: int = 10_000) -> None:
        self._keep_s = keep_s
        self._most = most
        self._seen: dict[str, float] = {}

    def check(self, name: str, now: float, approval: str = "") -> None:
        """Raises `Forged` for a name that was checked before."""
        for old, at in list(self._seen.items()):  # in the order of their coming
            if now - at < self._keep_s and len(self._seen) < self._most:
                break
            del self._seen[old]
        # Attack: play back an answer that was overheard, or lies in some log.
        if name in self._seen:
            raise Forged("the message was seen before", approval)
        self._seen[name] = now
