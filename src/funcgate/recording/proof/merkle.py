"""The Merkle tree of RFC 9162, section 2.1, with SHA-256: roots, inclusion and consistency proofs, and their verification.

Pure: it gets leaf hashes and gives hashes. Leaves are numbered from 0; many leaf hashes are one `bytes`, 32 each.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256

from funcgate.core.native import half

_native = half("funcgate.recording.proof._native")
_quick = _native is not None and _native.HASHES
HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
_CACHED_LEVEL = 8  # a Tree keeps the nodes over 256 leaves and more: 1/128 of the leaves' size
BLOCK = 1 << _CACHED_LEVEL

ReadLeaves = Callable[[int, int], bytes]


def leaf_hash(line: bytes) -> bytes:
    return sha256(b"\0" + line).digest()


def leaf_hashes(lines: Sequence[bytes]) -> list[bytes]:
    """Of many lines."""
    if _quick:
        found: list[bytes] = _native.leaf_hashes(lines)
        return found
    return [leaf_hash(line) for line in lines]


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def split(hashes: bytes) -> list[bytes]:
    """Many hashes as a list of them."""
    return [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]


def root_of(hashes: Sequence[bytes] | bytes) -> bytes:
    """The root over these leaf hashes. A level at a time: an odd last one goes up as it is."""
    if not hashes:
        return EMPTY_ROOT
    if _quick:
        root: bytes = _native.root_of(hashes)
        return root
    level = split(hashes) if isinstance(hashes, bytes) else list(hashes)
    while len(level) > 1:
        above = [sha256(b"\1" + level[at] + level[at + 1]).digest() for at in range(0, len(level) - 1, 2)]
        if len(level) & 1:
            above.append(level[-1])
        level = above
    return level[0]


class Range:
    """The roots of the largest whole subtrees over the leaves from `begin` up to `end`: all that is needed to go on.

    With `begin` 0 it is the frontier of the tree of that size. It takes leaves in order, and a range that follows it.
    """

    __slots__ = ("_nodes", "begin", "end")

    def __init__(self, begin: int = 0) -> None:
        self.begin = begin
        self.end = begin
        self._nodes: list[tuple[int, bytes]] = []  # (level, hash), left to right

    @classmethod
    def restore(cls, begin: int, end: int, hashes: bytes) -> "Range":
        """The range that `save` was called on. Raises `ValueError` for the wrong number of hashes."""
        levels = _levels(begin, end)
        if len(hashes) != HASH_BYTES * len(levels):
            raise ValueError(f"a range from {begin} to {end} has {len(levels)} hashes")
        made = cls(begin)
        made.end = end
        made._nodes = list(zip(levels, split(hashes), strict=True))
        return made

    def save(self) -> bytes:
        return b"".join(node for _, node in self._nodes)

    def copy(self) -> "Range":
        return Range.restore(self.begin, self.end, self.save())

    def extend(self, hashes: Sequence[bytes]) -> None:
        """Take the next leaf hashes: as many at once as make a whole subtree, which is quicker than one by one."""
        self.extend_with(b"".join(hashes))

    def extend_with(self, hashes: bytes) -> None:
        """The same, of hashes one behind the other."""
        at, count = 0, len(hashes) // HASH_BYTES
        while at < count:
            width = min(self.end & -self.end or BLOCK, BLOCK)
            while width > count - at:
                width >>= 1
            some = hashes[at * HASH_BYTES : (at + width) * HASH_BYTES]
            self._push(width.bit_length() - 1, root_of(some) if width > 1 else some)
            at += width

    def join(self, other: "Range") -> None:
        """Take all leaves of a range that begins where this one ends. Raises `ValueError` for any other."""
        if other.begin != self.end:
            raise ValueError(f"a range from {other.begin} on does not follow one up to {self.end}")
        for level, node in other._nodes:
            self._push(level, node)

    def _push(self, level: int, node: bytes) -> None:
        nodes, at = self._nodes, self.end >> level
        self.end += 1 << level
        while nodes and nodes[-1][0] == level and at & 1:
            node = sha256(b"\1" + nodes.pop()[1] + node).digest()
            level += 1
            at >>= 1
        nodes.append((level, node))

    def root(self) -> bytes:
        """The root of the tree with `end` leaves. Only of a range that begins at 0."""
        if self.begin:
            raise ValueError("only a range from 0 on has a root")
        if not self._nodes:
            return EMPTY_ROOT
        root = self._nodes[-1][1]
        for _, node in reversed(self._nodes[:-1]):
            root = node_hash(node, root)
        return root


def _levels(begin: int, end: int) -> list[int]:
    """The levels of the largest whole subtrees between two leaves."""
    if not 0 <= begin <= end:
        raise ValueError(f"there is no range from {begin} to {end}")
    levels = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        if begin:
            level = min(level, (begin & -begin).bit_length() - 1)
        levels.append(level)
        begin += 1 << level
    return levels


class Tree:
    """Roots and proofs over leaves that are read when needed. Keeps the nodes over 256 leaves and more, once they were made.

    `read(begin, end)` gives the leaf hashes from `begin` up to `end`, and always the same ones. `blocks` are the nodes over
    each 256 of them, as far as they are known; whoever gives wrong ones gets wrong proofs.
    """

    def __init__(self, read: ReadLeaves, blocks: bytes = b"") -> None:
        self._read = read
        self._blocks = blocks
        self._nodes: dict[tuple[int, int], bytes] = {}

    def root(self, size: int) -> bytes:
        return self._hash(0, size)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """PATH(index, D_size), RFC 9162, section 2.1.3.1."""
        if not 0 <= index < size:
            raise ValueError(f"a tree of {size} has no leaf {index}")
        path: list[bytes] = []
        begin, end = 0, size
        while end - begin > 1:
            middle = begin + _left_width(end - begin)
            if index < middle:
                path.append(self._hash(middle, end))
                end = middle
            else:
                path.append(self._hash(begin, middle))
                begin = middle
        path.reverse()
        return path

    def consistency(self, old: int, new: int) -> list[bytes]:
        """PROOF(old, D_new), RFC 9162, section 2.1.4.1."""
        if not 0 < old <= new:
            raise ValueError(f"there is no proof from a tree of {old} to one of {new}")
        path: list[bytes] = []
        begin, end, known = 0, new, True
        while old != end:
            middle = begin + _left_width(end - begin)
            if old <= middle:
                path.append(self._hash(middle, end))
                end = middle
            else:
                path.append(self._hash(begin, middle))
                begin, known = middle, False
        if not known:
            path.append(self._hash(begin, end))
        path.reverse()
        return path

    def _hash(self, begin: int, end: int) -> bytes:
        """The root over some leaves; where they are more than one, `begin` is a multiple of the left part's width."""
        width = end - begin
        if width < BLOCK:
            return root_of(self._read(begin, end))
        node = self._nodes.get((begin, end))
        if node is None:
            if width == BLOCK:
                at = begin // BLOCK * HASH_BYTES
                node = self._blocks[at : at + HASH_BYTES]
                if len(node) < HASH_BYTES:
                    node = root_of(self._read(begin, end))
            else:
                middle = begin + _left_width(width)
                node = node_hash(self._hash(begin, middle), self._hash(middle, end))
            if width & (width - 1) == 0:
                self._nodes[begin, end] = node
        return node


def _left_width(width: int) -> int:
    """The largest power of two below `width`."""
    return 1 << (width - 1).bit_length() - 1


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether the path leads from the leaf hash to the root. RFC 9162, section 2.1.3.2."""
    if not 0 <= index < size or any(len(node) != HASH_BYTES for node in path):
        return False
    at, last, made = index, size - 1, leaf
    for node in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            made = node_hash(node, made)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            made = node_hash(made, node)
        at >>= 1
        last >>= 1
    return last == 0 and made == root


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether the larger tree continues the smaller one. RFC 9162, section 2.1.4.2."""
    if not 0 < old <= new or any(len(node) != HASH_BYTES for node in path):
        return False
    if old == new:
        return not path and old_root == new_root
    nodes = list(path) if old & (old - 1) else [old_root, *path]
    if not nodes:
        return False
    at, last = old - 1, new - 1
    while at & 1:
        at >>= 1
        last >>= 1
    first = second = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            first, second = node_hash(node, first), node_hash(node, second)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            second = node_hash(second, node)
        at >>= 1
        last >>= 1
    return last == 0 and first == old_root and second == new_root
