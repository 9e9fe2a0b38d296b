"""Paths of fields whose whole value is hidden: ``password``, ``a.b``, ``items[*].card``, ``**.password``.

Names match decoded keys, exact case. It refuses indexes, slices and filters: what is hidden must be readable off the path.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from .actions import Replace

_SEGMENT = re.compile(r"([^.\[\]\s\"\\]+)((?:\[\*\])*)|((?:\[\*\])+)")
_ANY_DEPTH, _ANY_KEY, ELEMENT = "**", "*", "[*]"

State = frozenset[tuple[int, int]]
"""Which paths have matched how far: (path, steps)."""


def parse_path(text: str) -> tuple[str, ...]:
    """The steps of a path. Raises `ValueError` that says what is wrong."""
    steps: list[str] = []
    for part in text.split("."):
        found = _SEGMENT.fullmatch(part)
        if found is None or ("*" in (found[1] or "") and found[1] not in (_ANY_DEPTH, _ANY_KEY)):
            raise ValueError(
                f"{text!r} is not a field path; write names with dots, [*] for elements, **. for any depth"
            )
        if found[1]:
            steps.append(found[1])
        steps += [ELEMENT] * (found[0].count(ELEMENT))
    if steps[-1] == _ANY_DEPTH:
        raise ValueError(f"{text!r} ends with **: name the field to hide")
    return tuple(steps)


class Fields:
    """Several paths, walked together. `state` begins at the root; `step` goes to a member or an element. `names` are
    all that the paths name; `last_names` those that they end with, in UTF-8."""

    __slots__ = ("_always", "_keys", "_paths", "_replaces", "_step", "last_names", "names", "start")

    def __init__(self, paths: Mapping[str, Replace]) -> None:
        """Raises `ValueError` for a bad path."""
        self._paths = tuple(parse_path(path) for path in paths)
        self._replaces: Sequence[Replace] = tuple(paths.values())
        named = [[step for step in path if step not in (_ANY_DEPTH, _ANY_KEY, ELEMENT)] for path in self._paths]
        self.names = frozenset(name for names in named for name in names)
        self._always = any(not names for names in named)
        self.last_names = frozenset(names[-1].encode() for names in named if names)
        self._keys = tuple(b'"%b"' % name for name in self.last_names)
        self.start: State = self._closed((path, 0) for path in range(len(self._paths)))
        self._step = lru_cache(maxsize=4096)(self._stepped)

    def __bool__(self) -> bool:
        return bool(self._paths)

    def may_be_in(self, raw: bytes) -> bool:
        """Whether a walk can find anything; False is certain, for raw JSON."""
        # Attack: "pass\u0077ord" is the same key.
        return self.named_in(raw) or (raw.find(b"\\") >= 0 and bool(self._paths))

    def named_in(self, raw: bytes) -> bool:
        """The same for raw JSON without escapes in keys."""
        if self._always:
            return True
        for key in self._keys:  # noqa: SIM110 (for each answer: a generator costs more than what it does here)
            if raw.find(key) >= 0:
                return True
        return False

    def step(self, state: State, name: str) -> State:
        """The state in the member `name` of an object."""
        # Attack: ever new keys, each megabytes long, or an address: the cache holds the names in the paths, and no others.
        return self._step(state, name if name in self.names else "", False) if state else state

    def element(self, state: State) -> State:
        """The state in any element of an array."""
        return self._step(state, ELEMENT, True) if state else state

    def hidden(self, state: State) -> Replace | None:
        """What to write instead of the value at this state; None when the value stays."""
        for path, steps in sorted(state):
            if steps == len(self._paths[path]):
                return self._replaces[path]
        return None

    def _stepped(self, state: State, name: str, is_element: bool) -> State:
        out: list[tuple[int, int]] = []
        for path, at in state:
            if at == len(self._paths[path]):
                continue
            wanted = self._paths[path][at]
            if wanted == _ANY_DEPTH:
                out.append((path, at))
            elif wanted == ELEMENT if is_element else wanted in (_ANY_KEY, name):
                out.append((path, at + 1))
        return self._closed(out)

    def _closed(self, pairs: Iterable[tuple[int, int]]) -> State:
        """With every ``**`` also taken for nothing."""
        out: set[tuple[int, int]] = set()
        for path, at in pairs:
            out.add((path, at))
            while at < len(self._paths[path]) and self._paths[path][at] == _ANY_DEPTH:
                at += 1  # noqa: PLW2901
                out.add((path, at))
        return frozenset(out)


NO_FIELDS = Fields({})
