"""Plain values into the shapes of the configuration, finding every misfit instead of the first.

A key that is misspelt is reported and then read under its nearest right spelling, so that one slip is told once and what
lies behind it is still looked at. What was mended in this way is only ever examined, never used.
"""

from typing import Any

import msgspec
from msgspec import inspect

from .problems import Located, did_you_mean, nearest
from .source import Source, Where

LOST: Any = object()

_KINDS: dict[type, str] = {
    dict: "a mapping", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number",
    type(None): "nothing",
}  # fmt: skip
_SEQUENCES = (inspect.ListType, inspect.VarTupleType, inspect.SetType, inspect.FrozenSetType)
_TAKES: dict[type, tuple[type, ...]] = {
    dict: (inspect.StructType, inspect.DictType),
    list: _SEQUENCES,
    str: (inspect.StrType, inspect.LiteralType, inspect.EnumType),
    bool: (inspect.BoolType,),
    int: (inspect.IntType, inspect.FloatType),
    float: (inspect.FloatType,),
    type(None): (inspect.NoneType,),
}


class Fitting:
    """One tree being fitted. `problems` holds what did not fit, `lost` the paths of what had to be left out."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.problems: list[Located] = []
        self.lost: list[Where] = []
        self._kept: dict[Where, list[int]] = {}

    def fit(self, shape: type) -> Any:
        """The source's tree in a form that `msgspec.convert` takes for `shape`, or LOST."""
        return self._fit(self._source.tree, inspect.type_info(shape), ())

    def original(self, where: Where) -> Where:
        """The path in the file for a path in what was fitted: items that were left out of a list shift the rest."""
        mended: Where = ()
        for step in where:
            kept = self._kept.get(mended)
            mended += (kept[step] if kept is not None and isinstance(step, int) and step < len(kept) else step,)
        return mended

    def _fit(self, value: Any, kind: inspect.Type, where: Where) -> Any:
        if isinstance(kind, inspect.AnyType):
            return value
        taken = [k for k in _members(kind) if isinstance(k, _TAKES[type(value)])]
        if not taken:
            return self._misfit(value, kind, where)
        if isinstance(value, dict):
            return self._mapping(value, taken, where)
        if isinstance(value, list):
            return self._list(value, taken[0], where)
        literals = [k for k in taken if isinstance(k, inspect.LiteralType)]
        if literals and len(literals) == len(taken):
            return self._literal(value, [word for k in literals for word in k.values], where)
        return value

    def _misfit(self, value: Any, kind: inspect.Type, where: Where) -> Any:
        found = _KINDS[type(value)]
        wanted = _wanted(kind)
        hint = "; put it in quotes" if "text" in wanted and isinstance(value, int | float) else ""
        self._say(where, f"{_name(where)}: expected {wanted}, found {found}{hint}")
        return self._lose(where)

    def _literal(self, value: str, words: list[Any], where: Where) -> Any:
        if value in words:
            return value
        self._say(where, f"{_name(where)}: '{value}' is not known{did_you_mean(value, map(str, words))}")
        return nearest(value, words) or self._lose(where)

    def _list(self, value: list[Any], kind: Any, where: Where) -> Any:
        fitted, kept = [], []
        for index, item in enumerate(value):
            good = self._fit(item, kind.item_type, (*where, index))
            if good is not LOST:
                fitted.append(good)
                kept.append(index)
        if len(kept) < len(value):
            self._kept[where] = kept
        return fitted

    def _mapping(self, value: dict[str, Any], taken: list[Any], where: Where) -> Any:
        shapes = [kind for kind in taken if isinstance(kind, inspect.StructType)]
        if not shapes:
            members = {key: self._fit(item, taken[0].value_type, (*where, key)) for key, item in value.items()}
            return {key: item for key, item in members.items() if item is not LOST}
        if shapes[0].tag_field is None:
            return self._struct(value, shapes[0], where)
        return self._tagged(value, shapes, shapes[0].tag_field, where)

    def _tagged(self, value: dict[str, Any], shapes: list[inspect.StructType], field: str, where: Where) -> Any:
        tags = {str(shape.tag): shape for shape in shapes}
        if field not in value:
            self._say(where, f"the key '{field}' is missing; there are: {', '.join(sorted(tags))}")
            return self._lose(where)
        tag = value[field]
        if not isinstance(tag, str):
            return self._misfit(tag, inspect.StrType(), (*where, field))
        tag = self._literal(tag, list(tags), (*where, field))
        if tag is LOST:
            return self._lose(where)
        rest = {key: item for key, item in value.items() if key != field}
        fitted = self._struct(rest, tags[tag], where)
        return fitted if fitted is LOST else {field: tag, **fitted}

    def _struct(self, value: dict[str, Any], shape: inspect.StructType, where: Where) -> Any:
        fields = {field.encode_name: field for field in shape.fields}
        fitted: dict[str, Any] = {}
        given: set[str] = set()
        for key, item in value.items():
            name = key if key in fields else self._misspelt(key, [name for name in fields if name not in value], where)
            if name is None:
                continue
            given.add(name)
            good = self._fit(item, fields[name].type, (*where, key))
            if good is not LOST:
                fitted[name] = good
        for name in [field.encode_name for field in shape.fields if field.required]:
            if name not in given:
                self._say(where, f"the key '{name}' is missing")
                given.add(name)
        return fitted if len(fitted) == len(given) or not where else self._lose(where)

    def _misspelt(self, key: str, free: list[str], where: Where) -> str | None:
        mark = self._source.key_mark((*where, key))
        text = f"unknown key '{key}'{did_you_mean(key, free)}"
        self.problems.append(self._source.problem(mark, text))
        return nearest(key, free) or None

    def _say(self, where: Where, text: str) -> None:
        self.problems.append(self._source.problem(self._source.locate(where), text))

    def _lose(self, where: Where) -> Any:
        self.lost.append(where)
        return LOST


def convert(fitted: Any, shape: type) -> Any:
    """The typed value. Raises `msgspec.ValidationError` for what `Fitting` cannot see (a bound, a pattern)."""
    return msgspec.convert(fitted, shape)


def _members(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    return kind.types if isinstance(kind, inspect.UnionType) else (kind,)


def _name(where: Where) -> str:
    return next((f"'{step}'" for step in reversed(where) if isinstance(step, str)), "the file")


def _wanted(kind: inspect.Type) -> str:
    words = []
    for member in _members(kind):
        if isinstance(member, inspect.LiteralType):
            words.append(" or ".join(f"'{word}'" for word in member.values))
        elif isinstance(member, inspect.IntType):
            words.append("a whole number")
        else:
            words += [_KINDS[value] for value, kinds in _TAKES.items() if isinstance(member, kinds)][:1]
    seen = dict.fromkeys(word for word in words if word != "nothing")
    if "a number" in seen:
        seen.pop("a whole number", None)
    return " or ".join(seen)
