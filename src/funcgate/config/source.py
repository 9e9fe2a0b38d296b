"""YAML 1.2 text to plain values, remembering the line and column of every one of them.

No tags, no merge keys, no anchors that unfold without end, no ``${…}``: what stands in the file is what is meant.
"""

import io
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from .problems import Faulty, Located

MAX_BYTES = 8 << 20
MAX_VALUES = 400_000
MAX_DEPTH = 50

Where = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_TEXT = frozenset({"str", "timestamp", "merge", "value"})


class Mark(NamedTuple):
    """A place in the file; both count from 1."""

    line: int
    column: int


class Source:
    """One YAML file: `tree` is its content, `problems` what is wrong with it as YAML.

    Raises `Faulty` when there is no content to speak of: broken YAML, not UTF-8, too large.
    """

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self.problems: list[Located] = []
        self._lines: list[str] = []
        self._keys: dict[Where, Mark] = {}
        self._values: dict[Where, Node] = {}
        self.tree = self._read(data)

    def problem(self, mark: Mark, text: str, *, warning: bool = False) -> Located:
        return Located(file=self.name, line=mark.line, column=mark.column, text=text, warning=warning)

    def key_mark(self, where: Where) -> Mark:
        """Where the key of this path stands."""
        return self._keys.get(where) or self.locate(where)

    def locate(self, where: Where, column: int = -1) -> Mark:
        """Where a path stands: its value if that is a scalar, else its key; the nearest thing above it if it is not there.

        `column` is an offset into a text value, -1 for its beginning.
        """
        while where and where not in self._values:
            where, column = where[:-1], -1
        node = self._values.get(where)
        if node is None:
            return Mark(1, 1)
        if isinstance(node, ScalarNode):
            return _inside(node, column, self._lines) if column >= 0 else _start(node)
        return self._keys.get(where) or _start(node)

    def _read(self, data: bytes) -> Any:
        if len(data) > MAX_BYTES:
            raise self._broken(1, 1, f"the file is larger than {MAX_BYTES >> 20} MiB")
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise self._broken(line, 1, "this is not UTF-8 text") from None
        self._lines = text.splitlines()
        try:
            node = YAML(typ="safe", pure=True).compose(io.StringIO(text))
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            what = " ".join(filter(None, (error.context, error.problem))) or "this is not YAML"
            raise self._broken(mark.line + 1 if mark else 1, mark.column + 1 if mark else 1, what) from None
        except (YAMLError, RecursionError, ValueError) as error:
            what = "it is nested too deeply" if isinstance(error, RecursionError) else "this is not YAML"
            raise self._broken(1, 1, what) from None
        if node is None:
            raise self._broken(1, 1, "the file is empty")
        return self._build(node, (), 0)

    def _broken(self, line: int, column: int, text: str) -> Faulty:
        return Faulty([Located(file=self.name, line=line, column=column, text=text)])

    def _build(self, node: Node, where: Where, depth: int) -> Any:
        self._values[where] = node
        # Attack: anchors of anchors, a few lines that unfold to gigabytes ("billion laughs"), or that hold themselves.
        if depth > MAX_DEPTH or len(self._values) > MAX_VALUES:
            mark = _start(node)
            raise self._broken(mark.line, mark.column, "there are too many values, or they are nested too deeply")
        if isinstance(node, MappingNode):
            return self._mapping(node, where, depth)
        if isinstance(node, SequenceNode):
            return [self._build(item, (*where, index), depth + 1) for index, item in enumerate(node.value)]
        return self._scalar(node) if isinstance(node, ScalarNode) else None

    def _mapping(self, node: MappingNode, where: Where, depth: int) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key_node, value_node in node.value:
            mark = _start(key_node)
            key = key_node.value if isinstance(key_node, ScalarNode) else None
            if key is None or _tag(key_node) not in _TEXT:
                self.problems.append(self.problem(mark, "a key must be text; put it in quotes"))
            elif _tag(key_node) == "merge":
                self.problems.append(self.problem(mark, "merge keys (<<) are not YAML 1.2; write the members out"))
            elif key in built:
                # Attack: a second key of the same name far below, which some readers would let win.
                first = self._keys[(*where, key)].line
                self.problems.append(self.problem(mark, f"the key '{key}' is given twice (first in line {first})"))
            else:
                self._keys[(*where, key)] = mark
                built[key] = self._build(value_node, (*where, key), depth + 1)
        return built

    def _scalar(self, node: ScalarNode) -> Any:
        tag, text = _tag(node), node.value
        try:
            if tag in _TEXT:
                if "${" in text:
                    what = "${…} is not expanded; it is taken as it stands"
                    self.problems.append(self.problem(_start(node), what, warning=True))
                return text
            if tag == "null":
                return None
            if tag == "bool":
                return {"true": True, "false": False}.get(text.lower(), text)  # yes and no are text in YAML 1.2
            if tag == "int":
                return _whole(text)
            if tag == "float":
                return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        except ValueError:
            self.problems.append(self.problem(_start(node), "this number cannot be read; put text in quotes"))
            return None
        self.problems.append(self.problem(_start(node), f"the tag {tag} is not allowed"))
        return None


def _tag(node: Node) -> str:
    return str(node.tag).removeprefix(_TAG)


def _start(node: Node) -> Mark:
    return Mark(node.start_mark.line + 1, node.start_mark.column + 1)


def _whole(text: str) -> int:
    digits = text.lstrip("+-")
    base = {"0x": 16, "0o": 8, "0b": 2}.get(digits[:2].lower(), 10)
    return int(text, base)


def _inside(node: ScalarNode, offset: int, lines: list[str]) -> Mark:
    """Where the character at `offset` of a text value stands, as far as the way it is written tells."""
    start = _start(node)
    if node.style == "|":
        before = node.value[:offset]
        line = start.line + 1 + before.count("\n")
        source = lines[line - 1] if line <= len(lines) else ""
        indent = len(source) - len(source.lstrip(" "))
        return Mark(line, indent + 1 + len(before.rpartition("\n")[2]))
    if node.start_mark.line != node.end_mark.line:
        return start  # folded over lines: the place inside it cannot be told
    return Mark(start.line, start.column + offset + (1 if node.style in ("'", '"') else 0))
