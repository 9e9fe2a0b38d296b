"""What the looks at single segments come to: one journal, one tree, and whether it is the one that was signed.

Pure but for reading leaves. It names the first entry that is wrong where the leaves can tell which, else the range it is in.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct, structs

from funcgate.recording.retention.orders import without

from .heads import Head, Heads
from .leaves import LEAVES, Leaves
from .merkle import Range, Tree
from .named import Wrong, digest_of, is_object
from .note import VerifierKey
from .oath import SIGNATURE, is_signed
from .scan import Difference, Fault, Scanned, change_in

_PIECE = 1 << 16


# What is wrong with an object or a key, in words; why it could not be looked at follows.
_WRONG = {
    "missing": "is missing and has not expired",
    "altered": "is altered: its content has another digest",
    "away": "cannot be looked at: ",
}


class _Void(Struct, frozen=True):
    """Lines that were refused and could not be taken back, as the journal announces them."""

    segment: str
    from_byte: int


class Weighing:
    """Takes the segments in order, then the objects; `faults` has what is wrong, in no order."""

    def __init__(self, heads: Heads, leaves: Leaves | None, key: VerifierKey) -> None:
        self.heads = heads
        self._key = key
        self._orders: set[str] = set()  # by their signatures
        self.faults: list[Fault] = list(heads.faults)
        self.notes: list[str] = []
        self.entries = 0
        self.expired = 0
        self.expired_names: list[str] = []  # of objects and keys
        self.end = 0  # the last number there is, or was
        self._leaves = leaves
        self.known = leaves.count() if leaves is not None else 0
        self._tree: Range | None = Range()  # None from where the journal cannot be put together on
        self._roots: dict[int, bytes] = {0: Range().root()}  # of the journal, at the checkpoints' sizes
        self._sizes = sorted({head.size for head in heads.found})
        self._signed = Tree(leaves.read) if leaves is not None else None
        self._cut_short = False  # the segment before ends where it should not
        self._voids: set[_Void] = set()
        self._gone: list[tuple[int, int]] = []
        self._gone_names: dict[str, int] = {}  # and the number of the order

    def weigh(self, found: Sequence[Scanned]) -> None:
        self._learn(found)
        for at, each in enumerate(found):
            self._gap(each)
            self._segment(each, last=at == len(found) - 1)
        differences = [each.difference for each in found if each.difference is not None]
        self._against_leaves()
        self._against_heads(differences)

    def weigh_named(self, wrong: Iterable[Wrong], last: Mapping[str, int]) -> None:
        """Objects and keys that are not as they should be; `last` is the last entry that needs each."""
        for name, what, why in wrong:
            order = self._gone_names.get(digest_of(name), 0)
            # Attack: remove content that expired once, and was recorded again since.
            if what != "altered" and order and (order > last[name] or not is_object(name)):
                self.expired_names.append(name)
                continue
            named = f"{'object' if is_object(name) else 'content key'} {digest_of(name)}"
            self.faults.append(Fault(f"{named} {_WRONG[what]}{why}"))

    # -- what the journal says of itself

    def _learn(self, found: Sequence[Scanned]) -> None:
        for each in found:
            for seq, line in each.changes:
                change = change_in(line)
                # Attack: an order, which says what somebody wants it to, that looks like the gateway's own word.
                outage = change.get("outage") if "what" not in change else None
                if isinstance(outage, Mapping) and isinstance(void := outage.get("void"), Mapping):
                    self._voids.add(_Void(str(void.get("segment")), _number(void.get("from_byte"))))
                # Attack: remove a segment, and write the order for it behind the last entry, where nobody has signed yet.
                if change.get("what") == "expired" and seq <= max(self._sizes, default=0):
                    self._learn_order(seq, change)
                elif change.get("what") == "withheld":
                    self._learn_withheld(change)

    def _learn_order(self, seq: int, change: Mapping[str, Any]) -> None:
        signature = str(change.get(SIGNATURE))
        # Attack: say once more what was ordered once, and withheld.
        if signature in self._orders or not is_signed(change, self._key):
            self.notes.append(f"entry {seq} is an order to delete that this gateway has not given: it explains nothing")
            return
        self._orders.add(signature)
        self._take_order(seq, change)

    def _take_order(self, seq: int, change: Mapping[str, Any]) -> None:
        """An order of retention: `gone` are the numbers of all lines that ever went with their segments."""
        for pair in _list(change.get("gone")):
            if isinstance(pair, list) and len(pair) == 2:
                self._gone.append((_number(pair[0]), _number(pair[1])))
        self._gone_names.update(dict.fromkeys(_names(change), seq))

    def _learn_withheld(self, change: Mapping[str, Any]) -> None:
        # Attack: remove what retention has named, and then kept because of a hold.
        for segment in _list(change.get("segments")):
            if isinstance(segment, list) and len(segment) == 3:
                self._gone = list(without(self._gone, (_number(segment[1]), _number(segment[2]))))
        for name in _names(change):
            self._gone_names.pop(name, None)

    # -- segment after segment

    def _gap(self, each: Scanned) -> None:
        """What should come before this segment, and does not."""
        if not each.first or each.first == self.end + 1 or (self._cut_short and each.first > self.end):
            return  # in order; or what is missing is told already, where it begins
        missing = (self.end + 1, each.first - 1)
        if each.first <= self.end:
            text = (
                f"{each.segment} begins with entry {each.first}, but the segment before it ends with entry {self.end}"
            )
            self._broken(Fault(text, each.first, each.segment, 0))
        elif self._is_gone(missing):
            self.expired += missing[1] - missing[0] + 1
            self._from_leaves(*missing)
        else:
            said = f"entries {missing[0]} to {missing[1]} are" if missing[0] < missing[1] else f"entry {missing[0]} is"
            self._broken(
                Fault(f"{said} missing before {each.segment}, and did not expire", missing[0], each.segment, 0)
            )

    def _is_gone(self, missing: tuple[int, int]) -> bool:
        at, last = missing
        for first, upto in sorted(self._gone):
            if first <= at <= upto:
                at = upto + 1
        return at > last

    def _from_leaves(self, first: int, last: int) -> None:
        """Entries that are gone stay in the tree by their leaves."""
        if self._leaves is None or self.known < last:
            self._broken(Fault(f"the leaves of the expired entries {first} to {last} are missing", first))
            return
        begin = first - 1
        for size in [*(size for size in self._sizes if begin < size < last), last]:
            for at in range(begin, size, _PIECE):
                if self._tree is not None:
                    self._tree.extend_with(self._leaves.read(at, min(at + _PIECE, size)))
            begin = size
            if self._tree is not None:
                self._roots[size] = self._tree.root()

    def _segment(self, each: Scanned, *, last: bool) -> None:
        if each.first:
            self._join(each)
            self.entries += each.last - each.first + 1
            self.end = max(self.end, each.last)
        self._cut_short = False
        announced = _Void(each.segment, each.tail) in self._voids
        if announced or (each.stopped is None and each.tail < 0):
            return
        if each.stopped is None:
            text = f"{each.segment} goes on after its last entry with lines that no outage explains"
            self._broken(Fault(text, each.last, each.segment, each.tail), joined=True)
        elif last and not each.whole_after and self.end >= self.known and self.end >= max(self._sizes, default=0):
            # What a crash tore, or what is being written just now: no whole entry, never hashed.
            self.notes.append(f"{each.segment} ends in an entry that is not whole (byte {each.tail})")
        else:
            self._cut_short = True
            self._broken(structs.replace(each.stopped, seq=each.stopped.seq or self.end + 1))

    def _join(self, each: Scanned) -> None:
        if self._tree is None or self._tree.end != each.first - 1:
            self._tree = None
            return
        for size, nodes in each.heads:
            whole = self._tree.copy()
            whole.join(Range.restore(each.first - 1, size, nodes))
            self._roots[size] = whole.root()
        self._tree.join(Range.restore(each.first - 1, each.last, each.nodes))

    def _broken(self, fault: Fault, *, joined: bool = False) -> None:
        self.faults.append(fault)
        if not joined:
            self._tree = None

    # -- against what was hashed, and what was signed

    def _against_leaves(self) -> None:
        latest = max(self._sizes, default=0)
        if self._sizes and not self.heads.latest:
            if self.known:
                self.faults.append(Fault("there is no checkpoint in the data folder, but leaves that were hashed"))
            else:
                self.notes.append(
                    "the data folder has no proof of its own: it is held against the given checkpoints alone"
                )
        if self.known < self.heads.latest:
            text = f"proof/{LEAVES} has {self.known} of the {self.heads.latest} leaves that were signed"
            self.faults.append(Fault(text, self.known + 1))
        if max(latest, self.known) > self.end:
            self._short(latest)

    def _short(self, latest: int) -> None:
        """Attack: cut the journal off, or put an older one in its place."""
        further = next((head for head in self.heads.found if head.size > self.end), None)
        ends = f"the journal ends with entry {self.end}" if self.end else "the journal has no entry"
        if further is None:
            text = f"{ends}, but {self.known} were hashed: it was truncated or rolled back"
        else:
            text = f"{ends}, but {latest} were signed ({further.source}): it was truncated or rolled back"
        self.faults.append(Fault(text, self.end + 1))

    def _against_heads(self, differences: Sequence[Difference]) -> None:
        if not self.heads.found:
            self.faults.append(
                Fault("there is no checkpoint: nothing of this journal was ever signed, or it was removed")
            )
        good, explained = 0, False
        bad: list[Head] = []
        for head in self.heads.found:
            root = self._roots.get(head.size)
            if root == head.checkpoint.root:
                good = max(good, head.size) if not bad else good
            elif root is not None:
                bad.append(head)
        for difference in differences:
            explained = self._different(difference, bad) or explained
        if bad and not explained:
            self._another_history(good, bad)

    def _different(self, difference: Difference, bad: Sequence[Head]) -> bool:
        """An entry and its leaf disagree. Which of them was changed? True if it was the entry: that explains all after it."""
        seq = difference.seq
        first = next((head for head in self.heads.found if head.size >= seq), None)
        if first is None:
            text = f"entry {seq} is not the one that was hashed (no checkpoint covers it yet)"
            self.faults.append(Fault(text, seq, difference.segment, difference.offset))
            return False
        root = self._roots.get(first.size)
        if root == first.checkpoint.root:
            self.faults.append(
                Fault(f"proof/{LEAVES} was changed at entry {seq}; the entry itself is as it was signed", seq)
            )
            return False
        leaves_hold = self._leaf_root(first.size) == first.checkpoint.root
        what = (
            f"entry {seq} was changed"
            if leaves_hold
            else f"entry {seq} and its leaf disagree, and neither is as signed"
        )
        self.faults.append(Fault(what, seq, difference.segment, difference.offset))
        return leaves_hold and bool(bad)

    def _another_history(self, good: int, bad: Sequence[Head]) -> None:
        """Attack: change entries and their leaves, and sign them again with the key that lies on this host."""
        first = bad[0]
        where = f"entries {good + 1} to {first.size}" if good + 1 < first.size else f"entry {first.size}"
        self.faults.append(Fault(f"one or more of {where} are not as signed ({first.source})", good + 1))
        for head in bad[1:]:
            self.faults.append(Fault(f"the root of {head.source} is not that of the {head.size} entries", good + 1))

    def _leaf_root(self, size: int) -> bytes:
        return self._signed.root(size) if self._signed is not None and self.known >= size else b""


def _number(value: Any) -> int:
    return value if isinstance(value, int) else -1


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _names(change: Mapping[str, Any]) -> list[str]:
    """The objects and keys of an order."""
    keys = [str(key[0]) for key in _list(change.get("keys")) if isinstance(key, list) and key]
    return [*map(str, _list(change.get("objects"))), *keys]
