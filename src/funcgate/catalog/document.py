"""An OpenAPI file to plain JSON values. YAML with no tags of its own, no duplicate keys and no alias bombs; JSON likewise.

Refuses to fetch anything, and to build anything but dict, list, str, int, float, bool and None.
"""

import json
import math
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError

MAX_FILE_BYTES = 32 << 20
MAX_NODES = 2_000_000


class Unreadable(Exception):
    """The file cannot be used. The text says why, with the line where there is one."""


class _PlainConstructor(SafeConstructor):
    """YAML 1.2 without dates: a date in an example is text, as it is in JSON."""


_PlainConstructor.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_yaml_str)
for _tag in ("binary", "omap", "pairs", "set"):
    _PlainConstructor.add_constructor(f"tag:yaml.org,2002:{_tag}", SafeConstructor.construct_undefined)


def read_document(path: Path) -> dict[str, Any]:
    """The mapping in the file. Raises `Unreadable`."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise Unreadable(f"the file is larger than {MAX_FILE_BYTES >> 20} MiB")
        text = path.read_bytes().decode()
    except OSError as error:
        raise Unreadable(f"the file cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Unreadable(f"the file is not UTF-8 at byte {error.start}") from error
    try:
        document = _json(text) if path.suffix == ".json" else _yaml(text)
        plain = _Plain().copy(document)
    except RecursionError:
        raise Unreadable("the file is nested too deeply") from None
    if not isinstance(plain, dict):
        raise Unreadable("the file holds no mapping")
    return plain


def _json(text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise Unreadable(f"the key {twice!r} occurs twice in one object")
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise Unreadable(f"line {error.lineno}: {error.msg}") from error


def _yaml(text: str) -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _PlainConstructor
    yaml.allow_duplicate_keys = False
    try:
        return yaml.load(text)
    except MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark is not None else ""
        raise Unreadable(f"{line}{error.problem or 'not YAML'}") from error
    except (YAMLError, ValueError) as error:
        raise Unreadable(f"not YAML: {type(error).__name__}") from error


class _Plain:
    """Copies a loaded value, with text for keys, and counts what it would be were every alias written out."""

    def __init__(self) -> None:
        self._done: dict[int, tuple[Any, int]] = {}
        self._open: set[int] = set()

    def copy(self, value: Any) -> Any:
        return self._copy(value)[0]

    def _copy(self, value: Any) -> tuple[Any, int]:
        if value is None or isinstance(value, str | bool | int):
            return value, 1
        if isinstance(value, float):
            if not math.isfinite(value):
                raise Unreadable("it holds NaN or Infinity, which JSON does not have")
            return value, 1
        if not isinstance(value, dict | list):
            raise Unreadable(f"it holds a value of the type {type(value).__name__}, which JSON does not have")
        if id(value) in self._done:
            return self._done[id(value)]
        # Attack: an anchor that holds an alias to itself never ends.
        if id(value) in self._open:
            raise Unreadable("a YAML alias stands for a value that contains it")
        self._open.add(id(value))
        done = self._copy_list(value) if isinstance(value, list) else self._copy_dict(value)
        # Attack: ten levels of ten aliases each are ten thousand million values ("billion laughs").
        if done[1] > MAX_NODES:
            raise Unreadable(f"it holds more than {MAX_NODES:,} values, aliases counted where they are used")
        self._open.remove(id(value))
        self._done[id(value)] = done
        return done

    def _copy_list(self, value: list[Any]) -> tuple[Any, int]:
        copies = [self._copy(item) for item in value]
        return [copy for copy, _ in copies], 1 + sum(size for _, size in copies)

    def _copy_dict(self, value: dict[Any, Any]) -> tuple[Any, int]:
        size = 1
        copied: dict[str, Any] = {}
        for key, item in value.items():
            name = key if isinstance(key, str) else _key(key)
            if name in copied:
                raise Unreadable(f"the key {name!r} occurs twice in one mapping")
            copied[name], item_size = self._copy(item)
            size += item_size
        return copied, size


def _key(key: Any) -> str:
    if key is None or isinstance(key, bool | int):
        return json.dumps(key)
    raise Unreadable(f"a key is of the type {type(key).__name__}; JSON has text only")
