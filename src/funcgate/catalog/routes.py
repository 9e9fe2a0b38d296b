"""Path templates, and the tree that finds the one that a path is meant by: literal before parameter, from the left.

The cost of a search grows with the path, not with the number of templates. It refuses to guess: templates of which a
path could match two without one being the more exact are a problem when they are loaded.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")

_LITERAL = re.compile(r"[A-Za-z0-9._~!$&'()*+,=:@-]*")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]*")
_PARAMETER = re.compile(r"\{([^{}/]+)\}")


class Template(Struct, frozen=True):
    """A path template. `segments` hold a literal, or None for a parameter; `names` are the parameters', in order."""

    text: str
    segments: tuple[str | None, ...]
    names: tuple[str, ...]

    @property
    def mask(self) -> tuple[bool, ...]:
        """Which segments are literal."""
        return tuple(segment is not None for segment in self.segments)


def parse_template(text: str) -> Template:
    """``/transfers/{account}``. Raises `ValueError` that says what is wrong."""
    if not text.startswith("/"):
        raise ValueError(f"the path {text!r} does not begin with a slash")
    segments: list[str | None] = []
    names: list[str] = []
    parts = text[1:].split("/")
    for at, part in enumerate(parts):
        found = _PARAMETER.fullmatch(part)
        if found is not None:
            segments.append(None)
            names.append(found[1])
            continue
        if "{" in part or "}" in part:
            raise ValueError(
                f"{part!r} in the path {text!r} mixes a parameter with text; a parameter fills a whole segment"
            )
        if _LITERAL.fullmatch(part) is None or part in (".", ".."):
            raise ValueError(f"{part!r} in the path {text!r} can never be called: such a segment is refused")
        if not part and at != len(parts) - 1:
            raise ValueError(f"the path {text!r} has an empty segment and can never be called")
        segments.append(part)
    if len(set(names)) != len(names):
        raise ValueError(f"a parameter occurs twice in the path {text!r}")
    return Template(text, tuple(segments), tuple(names))


def ambiguous(templates: Iterable[Template]) -> list[tuple[Template, Template]]:
    """Pairs of which some path matches both, and neither is the more exact: ``/a/{x}`` and ``/{y}/b``."""
    by_mask: dict[tuple[bool, ...], list[Template]] = {}
    for template in templates:
        by_mask.setdefault(template.mask, []).append(template)
    masks = sorted(by_mask)
    pairs = []
    for at, mask in enumerate(masks):
        for other in masks[at + 1 :]:
            if len(mask) == len(other) and not _covers(mask, other) and not _covers(other, mask):
                pairs += _overlapping(by_mask[mask], by_mask[other], mask, other)
    return pairs


def _covers(mask: tuple[bool, ...], other: tuple[bool, ...]) -> bool:
    return all(mine or not theirs for mine, theirs in zip(mask, other, strict=True))


def _overlapping(
    some: list[Template], others: list[Template], mask: tuple[bool, ...], other: tuple[bool, ...]
) -> list[tuple[Template, Template]]:
    shared = [at for at, both in enumerate(zip(mask, other, strict=True)) if all(both)]

    def literals(template: Template) -> tuple[str | None, ...]:
        return tuple(template.segments[at] for at in shared)

    index: dict[tuple[str | None, ...], list[Template]] = {}
    for template in some:
        index.setdefault(literals(template), []).append(template)
    return [(mine, theirs) for theirs in others for mine in index.get(literals(theirs), ())]


class _Node(Generic[T]):
    __slots__ = ("ends", "folded", "literals", "parameter")

    def __init__(self) -> None:
        self.literals: dict[str, _Node[T]] = {}
        self.folded: frozenset[str] = frozenset()
        self.parameter: _Node[T] | None = None
        self.ends: dict[str, T] | None = None


Found = tuple[Mapping[str, T], tuple[str, ...]]


class Routes(Generic[T]):
    """The tree. Filled while loading, then only read."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()
        self._is_exotic = False  # whether some literal could be spelled in two ways

    def add(self, template: Template, method: str, value: T) -> T | None:
        """Put the value there. Gives the value that stood there before, if any, and then changes nothing."""
        node = self._root
        for segment in template.segments:
            if segment is None:
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node.folded |= {segment.casefold()}
                self._is_exotic = self._is_exotic or _UNRESERVED.fullmatch(segment) is None
                node = node.literals.setdefault(segment, _Node())
        node.ends = {} if node.ends is None else node.ends
        before = node.ends.get(method)
        if before is None:
            node.ends[method] = value
        return before

    def find(self, segments: tuple[str, ...], path: str | None) -> Found[T] | None:
        """The methods at the first template that matches, and the values of its parameters.

        `path` is the canonical path that `segments` were decoded from; without it, a segment with a reserved
        character is never a literal.
        """
        segments = segments or ("",)
        if path is None and self._is_exotic:
            return _search(self._root, segments, [_bare(segment) for segment in segments], 0, ())
        if path is not None and "%" in path:
            return _search(self._root, segments, path[1:].split("/"), 0, ())
        node = self._root
        values = []
        for segment in segments:
            below = node.literals.get(segment)
            if below is None:
                below = node.parameter
                if below is None or not segment or segment.casefold() in node.folded:
                    return _search(self._root, segments, segments, 0, ())
                values.append(segment)
            node = below
        if node.ends is None:
            return _search(self._root, segments, segments, 0, ())
        return node.ends, tuple(values)


def _bare(segment: str) -> str:
    return segment if _UNRESERVED.fullmatch(segment) else "%"  # which no literal is


def _search(
    node: _Node[T], segments: tuple[str, ...], raw: Sequence[str], at: int, values: tuple[str, ...]
) -> Found[T] | None:
    """Every way through the tree, the more exact first. As deep as the longest template."""
    if at == len(segments):
        return None if node.ends is None else (node.ends, values)
    segment = segments[at]
    # Attack: "items%3Asearch" is the literal "items:search" once decoded, and another path for a target that is not
    # decoding before it routes. A literal is met only by its own spelling.
    below = node.literals.get(raw[at])
    if below is not None:
        found = _search(below, segments, raw, at + 1, values)
        if found is not None:
            return found
    # Attack: "/users/ME" is the function of "/users/{name}" here, and of "/users/me" for a target that does not tell
    # upper case from lower case.
    elif segment.casefold() in node.folded:
        return None
    if node.parameter is None or not segment:
        return None
    return _search(node.parameter, segments, raw, at + 1, (*values, segment))
