"""Answers to lines of JSON, through the real masking, and back into messages: every field, every way to hide it."""

import base64
import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from funcgate.catalog.proto.restoring import Unrestorable
from funcgate.core.lease import NO_LEASE
from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Reply
from funcgate.masking import RuleSpec, compile_rules
from support.protos import Eyes, catalog, method, new, pool, same

CARD = "4111111111111111"
NUMBER = int(CARD)
LABEL = "[REDACTED:field]"
ACTIONS = ("redact", "partial", "hash")


@pytest.fixture(scope="module")
def eyes() -> Iterator[Eyes]:
    made = Eyes()
    yield made
    made.close()


@cache
def _masker(detect: tuple[str, ...], fields: tuple[str, ...], action: Any) -> Any:
    rule = RuleSpec(functions=["f"], detect=[*detect], fields=[*fields], action=action)
    return compile_rules([rule], ["f"], hash_key=b"k" * 32).masker("f")


def mask(line: bytes, **rule: Any) -> bytes:
    """What the masker of a function with this rule makes of one line."""
    masker = _masker(tuple(rule.get("detect", ())), tuple(rule.get("fields", ())), rule.get("action", "redact"))
    reply = Reply(status=200, headers=[], media="application/x-ndjson", body=line + b"\n")
    masked = masker.mask_reply(reply, NO_LEASE).reply.body
    assert masked is not None
    assert masked.endswith(b"\n")
    return masked[:-1]


def through(name: str, message: Any, **rule: Any) -> bytes:
    """The message as the caller gets it."""
    gives = method(name).gives
    assert gives is not None
    seen = gives.read(message.SerializeToString(), strict=True)
    return seen.restore(mask(seen.line, **rule))


# A message with a secret in one field, for each field of All.

SECRETS: dict[str, Callable[[Any], Any]] = {}


def secret(*names: str) -> Callable[[Callable[[Any, str], Any]], Callable[[Any, str], Any]]:
    def note(fill: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
        for name in names:
            SECRETS[name] = lambda message, name=name: fill(message, name)  # type: ignore[misc]
        return fill

    return note


@secret("text", "maybe_text", "one_text")
def _text(message: Any, name: str) -> None:
    setattr(message, name, f"card {CARD}, é")


@secret("data", "maybe_data", "one_data")
def _data(message: Any, name: str) -> None:
    setattr(message, name, b"\xff\x00 card " + CARD.encode() + b" \xef\x9e\x80\xfe")


@secret("number", "maybe_number", "one_number")
def _number(message: Any, name: str) -> None:
    setattr(message, name, NUMBER)


@secret("real")
def _real(message: Any, name: str) -> None:
    setattr(message, name, float(NUMBER))


@secret("flag", "color", "maybe_color", "one_color", "null")
def _one(message: Any, name: str) -> None:
    setattr(message, name, 0 if name == "null" else 1)


@secret("texts")
def _texts(message: Any, name: str) -> None:
    message.texts.extend([CARD, "harmless", f"x {CARD}"])


@secret("datas")
def _datas(message: Any, name: str) -> None:
    message.datas.extend([CARD.encode(), b"\xff harmless", b"\x80" + CARD.encode()])


@secret("numbers", "unpacked")
def _numbers(message: Any, name: str) -> None:
    getattr(message, name).extend([5, NUMBER, 6])


@secret("reals")
def _reals(message: Any, name: str) -> None:
    message.reals.extend([0.5, float(NUMBER), float("nan"), float("-inf")])


@secret("flags")
def _flags(message: Any, name: str) -> None:
    message.flags.extend([True, False])


@secret("colors")
def _colors(message: Any, name: str) -> None:
    message.colors.extend([1, 0, 77])


@secret("small", "one_small")
def _small(message: Any, name: str) -> None:
    getattr(message, name).text = CARD
    getattr(message, name).deeper.number = NUMBER


@secret("smalls")
def _smalls(message: Any, name: str) -> None:
    message.smalls.add(text="harmless", number=NUMBER)
    message.smalls.add(text=CARD)


@secret("text_of")
def _text_of(message: Any, name: str) -> None:
    message.text_of.update({"a": CARD, "b": "harmless", CARD: "key", f"{CARD} ": CARD})


@secret("data_of")
def _data_of(message: Any, name: str) -> None:
    message.data_of.update({"a": CARD.encode(), "b": b"\xff", CARD: b"key"})


@secret("number_of")
def _number_of(message: Any, name: str) -> None:
    message.number_of.update({"a": NUMBER, "b": 5, CARD: 7})


@secret("color_of")
def _color_of(message: Any, name: str) -> None:
    message.color_of.update({"a": 1, CARD: -3})


@secret("small_of")
def _small_of(message: Any, name: str) -> None:
    message.small_of["a"].text = CARD
    message.small_of["b"].number = 5
    message.small_of[CARD].text = "key"


@secret("by_number")
def _by_number(message: Any, name: str) -> None:
    message.by_number.update({5: CARD, NUMBER: "key"})


@secret("by_flag")
def _by_flag(message: Any, name: str) -> None:
    message.by_flag[True].text = CARD
    message.by_flag[False].text = "harmless"


@secret("by_big")
def _by_big(message: Any, name: str) -> None:
    message.by_big.update({NUMBER: 1.5, 7: float(NUMBER)})


@secret("text_value", "one_wrapped")
def _text_value(message: Any, name: str) -> None:
    getattr(message, name).value = CARD


@secret("bytes_value")
def _bytes_value(message: Any, name: str) -> None:
    message.bytes_value.value = b"\xff" + CARD.encode()


@secret("int64_value", "uint64_value", "double_value")
def _number_value(message: Any, name: str) -> None:
    getattr(message, name).value = NUMBER


@secret("int32_value", "uint32_value", "float_value", "bool_value")
def _small_value(message: Any, name: str) -> None:
    getattr(message, name).value = 1


@secret("text_values")
def _text_values(message: Any, name: str) -> None:
    message.text_values.add(value=CARD)
    message.text_values.add(value="harmless")


@secret("text_value_of")
def _text_value_of(message: Any, name: str) -> None:
    message.text_value_of["a"].value = CARD
    message.text_value_of[CARD].value = "key"


@secret("at")
def _at(message: Any, name: str) -> None:
    message.at.FromJsonString("2026-11-21T10:00:00.000000001Z")


@secret("ats")
def _ats(message: Any, name: str) -> None:
    message.ats.add(seconds=5)
    message.ats.add(seconds=6, nanos=1000)


@secret("lasts")
def _lasts(message: Any, name: str) -> None:
    message.lasts.FromJsonString("-3.5s")


@secret("mask")
def _mask(message: Any, name: str) -> None:
    message.mask.paths.extend(["a.b", CARD])


@secret("empty")
def _empty(message: Any, name: str) -> None:
    message.empty.SetInParent()


CONTENT = {"a": CARD, "b": [NUMBER, "harmless", {"c": CARD}], CARD: True, "d": None, "e": 1.5}


@secret("struct")
def _struct(message: Any, name: str) -> None:
    message.struct.update(CONTENT)


@secret("value")
def _value(message: Any, name: str) -> None:
    message.value.struct_value.update(CONTENT)


@secret("list")
def _list(message: Any, name: str) -> None:
    message.list.extend([CARD, NUMBER, [CARD], "harmless"])


@secret("values")
def _values(message: Any, name: str) -> None:
    message.values.add(number_value=NUMBER)
    message.values.add(string_value=CARD)
    message.values.add(bool_value=True)


@secret("value_of")
def _value_of(message: Any, name: str) -> None:
    message.value_of["a"].number_value = NUMBER
    message.value_of[CARD].struct_value.update({"k": CARD})


@secret("any", "one_any")
def _any(message: Any, name: str) -> None:
    inner = new("Small", text=CARD)
    inner.deeper.number = NUMBER
    getattr(message, name).Pack(inner)


@secret("anys")
def _anys(message: Any, name: str) -> None:
    message.anys.add().Pack(new("google.protobuf.StringValue", value=CARD))
    wrapped = new("google.protobuf.Any")
    wrapped.Pack(new("Small", text=CARD, number=5))
    message.anys.add().Pack(wrapped)
    struct = new("google.protobuf.Struct")
    struct.update(CONTENT)
    message.anys.add().Pack(struct)
    old = new("older.Old", name=CARD)
    old.Extensions[pool().FindExtensionByName("older.more")] = CARD
    old.Extensions[pool().FindExtensionByName("older.more_numbers")].extend([1, NUMBER])
    message.anys.add().Pack(old)


@secret("any_of")
def _any_of(message: Any, name: str) -> None:
    message.any_of["a"].Pack(new("Small", text=CARD))
    message.any_of[CARD].Pack(new("Small", text="key"))


@secret("each")
def _each(message: Any, name: str) -> None:
    for field in message.each.DESCRIPTOR.fields:
        setattr(message.each, field.name, 1)
    for field_name in ("int64", "uint64", "sint64", "fixed64", "sfixed64", "double"):
        setattr(message.each, field_name, NUMBER)


@secret("inner")
def _inner(message: Any, name: str) -> None:
    for fill in [fill for other, fill in SECRETS.items() if other != "inner"]:
        fill(message.inner)


FIELDS = [field.name for field in new("All").DESCRIPTOR.fields]


def test_the_table_is_whole() -> None:
    assert sorted(SECRETS) == sorted(FIELDS)


def filled(name: str) -> Any:
    """A message with a secret in this field, and harmless ones around it."""
    message = new("All", flags=[True]) if name != "flags" else new("All")
    message.each.int32 = 77
    SECRETS[name](message)
    return message


def without_card(seen: Any, hide: Callable[[str], str]) -> Any:
    """What the caller should see: texts with the mask's text, other values with their default. Keys as masking names them."""
    if isinstance(seen, dict) and seen.keys() == {"bytes"}:
        raw = base64.b64decode(seen["bytes"])
        return {"bytes": base64.b64encode(raw.replace(CARD.encode(), hide(CARD).encode())).decode()}
    if isinstance(seen, dict):
        found: dict[str, Any] = {}
        for key, value in seen.items():
            name, count = key.replace(CARD, hide(CARD)), 1
            while name != key and name in {*found, *seen}:
                count += 1
                name = key.replace(CARD, hide(CARD)) + f"#{count}"
            found[name] = without_card(value, hide)
        return found
    if isinstance(seen, list):
        return [without_card(item, hide) for item in seen]
    if isinstance(seen, str):
        return seen.replace(CARD, hide(CARD))
    return type(seen)(0) if seen == NUMBER and not isinstance(seen, bool) else seen


HIDE: dict[str, Callable[[str], str]] = {
    action: (
        lambda card, action=action: json.loads(mask(json.dumps(card).encode(), detect=["credit_card"], action=action))
    )  # type: ignore[misc]
    for action in ACTIONS
}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("name", FIELDS)
def test_what_a_detector_finds_is_hidden_and_nothing_else(name: str, action: str, eyes: Eyes) -> None:
    message = filled(name)
    raw = message.SerializeToString()
    before = eyes.see("All", raw)
    data = through("Do", message, detect=["credit_card"], action=action)
    after = eyes.see("All", data)
    expected = without_card(before, HIDE[action])
    for found, wanted in zip(_struct_like(after), _struct_like(expected), strict=True):
        _as_texts(found, wanted, HIDE[action](CARD))
    _drop_numeric_keys(expected, before)
    assert after == expected
    assert CARD.encode() not in data
    assert not same(before, after) or CARD not in json.dumps(before)


def _struct_like(seen: Any) -> list[Any]:
    """Values of Struct and its kin, in which a masked number becomes a text."""
    places: list[Any] = []
    for holder in (seen, seen.get("inner", {})):
        places += [holder.get(name) for name in ("struct", "value", "list", "values", "value_of") if name in holder]
        places += [one["value"] for one in holder.get("anys", []) if "Struct" in one.get("@type", "")]
    return places


def _as_texts(found: Any, wanted: Any, label: str) -> None:
    """In `wanted`, which is changed: the label where a number was masked."""
    pairs: list[tuple[Any, Any]] = []
    if isinstance(wanted, dict):
        pairs = [(key, found.get(key)) for key in wanted]
    elif isinstance(wanted, list):
        pairs = list(enumerate(found))
    for key, other in pairs:
        if isinstance(wanted[key], float) and wanted[key] == 0 and other == label:
            wanted[key] = label
        else:
            _as_texts(other, wanted[key], label)


def _drop_numeric_keys(expected: Any, before: Any) -> None:
    """In maps by numbers, an entry whose key was masked goes."""
    for holder, old in ((expected, before), (expected.get("inner", {}), before.get("inner", {}))):
        for name in ("by_number", "by_big"):
            if name in holder:
                holder[name] = {key: value for key, value in holder[name].items() if key in old[name]}


EMPTY_SMALL = {"text": "", "number": 0}
_BYTES = {"bytes": base64.b64encode(LABEL.encode()).decode()}
_LISTS = (
    "texts", "datas", "numbers", "reals", "flags", "colors", "smalls", "unpacked", "text_values", "ats", "list", "values",
    "anys",
)  # fmt: skip
_OBJECTS = (
    "text_of", "data_of", "number_of", "color_of", "small_of", "by_number", "by_flag", "by_big", "text_value_of", "struct",
    "value_of", "any", "one_any", "any_of", "empty",
)  # fmt: skip
BY_FIELD: dict[str, Any] = {
    **dict.fromkeys(("text", "maybe_text", "one_text", "text_value", "one_wrapped", "value"), LABEL),
    **dict.fromkeys(("data", "maybe_data", "one_data", "bytes_value"), _BYTES),
    **dict.fromkeys(
        ("number", "maybe_number", "one_number", "int64_value", "uint64_value", "int32_value", "uint32_value"), 0
    ),
    **dict.fromkeys(("real", "double_value", "float_value"), 0.0),
    **dict.fromkeys(("flag", "bool_value"), False),
    **dict.fromkeys(("color", "maybe_color", "one_color"), "RED"),
    **dict.fromkeys(("small", "one_small"), EMPTY_SMALL),
    **{name: [] for name in _LISTS},
    **{name: {} for name in _OBJECTS},
    "at": "1970-01-01T00:00:00Z",
    "lasts": "0s",
    "mask": {"paths": []},
    "null": "NULL_VALUE",
}  # fmt: skip


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("name", FIELDS)
def test_a_field_is_hidden_whole(name: str, action: str, eyes: Eyes) -> None:
    message = filled(name)
    before = eyes.see("All", message.SerializeToString())
    if name == "null":
        assert "null" not in json.loads(_line(message)), "a default is not told, so nothing can be hidden"
    data = through("Do", message, fields=[name], action=action)
    after = eyes.see("All", data)
    if name in ("each", "inner"):
        wanted: Any = eyes.see("Numbers" if name == "each" else "All", b"")
    else:
        wanted = BY_FIELD[name]
    if action == "hash":
        wanted = _hashed(wanted, after[name])
    assert after == {**before, name: wanted}
    assert CARD.encode() not in data or name != "inner"


def _line(message: Any) -> bytes:
    gives = method("Do").gives
    assert gives is not None
    return gives.read(message.SerializeToString(), strict=True).line


def _hashed(wanted: Any, found: Any) -> Any:
    """A keyed hash in place of the label."""
    if isinstance(wanted, dict) and "bytes" in wanted:
        assert base64.b64decode(found["bytes"]).startswith(b"[field:")
        return found
    if wanted == LABEL:
        assert found.startswith("[field:")
        return found
    return wanted


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("**.text", "small"), ("small.deeper.number", "small"), ("smalls[*].text", "smalls"), ("small_of.*.text", "small_of"),
        ("any.text", "any"), ("**.number", "any"), ("any_of.*.text", "any_of"), ("struct.a", "struct"),
        ("struct.b[*]", "struct"), ("**.c", "value"), ("values[*]", "values"), ("texts[*]", "texts"), ("anys[*].value", "anys"),
        ("anys[*].older/more", "anys"), ("anys[*].older/more_numbers[*]", "anys"), ("text_of.*", "text_of"),
        ("by_number.*", "by_number"), ("**.mask.paths[*]", "mask"), ("number_of.*", "number_of"), ("datas[*]", "datas"),
        ("numbers[*]", "numbers"), ("anys[*]", "anys"), ("smalls[*]", "smalls"), ("small_of.*", "small_of"), ("ats[*]", "ats"),
        ("colors[*]", "colors"), ("**.any.deeper", "any"), ("text_values[*]", "text_values"), ("any_of.*", "any_of"),
    ],
)  # fmt: skip
def test_paths_into_what_a_message_holds(path: str, name: str, eyes: Eyes) -> None:
    """What the caller gets reads as the masked line does, with defaults where no text can stand."""
    message = filled(name)
    gives = method("Do").gives
    assert gives is not None
    seen = gives.read(message.SerializeToString(), strict=True)
    masked = mask(seen.line, fields=[path])
    assert masked != seen.line
    after = eyes.see("All", seen.restore(masked), defaults=False)
    shown = json.loads(masked)
    assert _fits(after[name], shown[name]), (after[name], shown[name])
    assert {key: value for key, value in shown.items() if key != name}.keys() == after.keys() - {name}


def _fits(seen: Any, line: Any) -> bool:
    if isinstance(seen, dict) and seen.keys() == {"bytes"}:
        return isinstance(line, str) and LABEL in line and base64.b64decode(seen["bytes"]).decode() == line
    if line == LABEL:
        return seen == LABEL or seen in (0, False, "RED", [], {}, "1970-01-01T00:00:00Z", {"bytes": ""}) or seen == {}
    if isinstance(line, dict):
        gone = {key for key, value in line.items() if value == LABEL}
        return (
            isinstance(seen, dict)
            and line.keys() - seen.keys() <= gone
            and all(_fits(seen[key], line[key]) for key in seen)
        )
    if isinstance(line, list):
        return isinstance(seen, list) and len(seen) == len(line) and all(map(_fits, seen, line))
    return bool(seen == line)


def test_an_unmasked_line_gives_the_one_spelling_of_the_message() -> None:
    gives = method("Watch").gives
    assert gives is not None
    hidden_twice = b"\x0a\x10" + CARD.encode() + b"\x0a\x01x"
    seen = gives.read(hidden_twice, strict=True)
    assert seen.line == b'{"text":"x"}'
    assert seen.restore(seen.line) == b"\x0a\x01x"


def test_required_fields_stay() -> None:
    message = new("older.Old", name="n", grade=1, number=9)
    message.needs.text, message.needs.number, message.needs.grade = CARD, NUMBER, 5
    message.needs.inner.text = CARD
    message.many_needs.add().CopyFrom(message.needs)
    data = through("older.Olds/Do", message, fields=["needs", "many_needs[*]", "grade", "number", "name"])
    found = type(message).FromString(data)
    assert found.IsInitialized()
    assert (found.name, found.grade, found.number) == (LABEL, 5, 7)
    assert (found.needs.text, found.needs.number, found.needs.inner.text) == ("", 0, "")
    assert len(found.many_needs) == 1
    assert not found.many_needs[0].text


def test_groups_and_extensions(eyes: Eyes) -> None:
    message = new("older.Old", name="n")
    message.group.text = CARD
    message.many.add(text=CARD)
    more, numbers, needs = (
        pool().FindExtensionByName(f"older.{name}") for name in ("more", "more_numbers", "more_needs")
    )
    message.Extensions[more] = CARD
    message.Extensions[numbers].extend([1, NUMBER])
    needed = message.Extensions[needs]
    needed.text, needed.number, needed.grade, needed.inner.text = CARD, 1, 1, CARD
    data = through("older.Olds/Do", message, detect=["credit_card"])
    assert CARD.encode() not in data
    assert eyes.see("older.Old", data)["older/more_numbers"] == [1, 0]
    data = through("older.Olds/Do", message, fields=["**.older/more", "older/more_needs", "group.text", "many[*]"])
    found = type(message).FromString(data)
    assert found.Extensions[more] == LABEL
    assert found.Extensions[needs].IsInitialized()
    assert not found.Extensions[needs].text
    assert found.group.text == LABEL
    assert len(found.many) == 1


# What the description hides by itself.


def hidden() -> Any:
    message = new(
        "Hidden", shown="shown", text=CARD, data=CARD.encode(), number=NUMBER, color=1, texts=[CARD, CARD], maybe=5
    )
    message.small.text = CARD
    message.number_of["k"] = NUMBER
    message.wrapped.value = CARD
    message.any.Pack(new("Small", text=CARD))
    message.one_text = CARD
    return message


def clean(seen: Any) -> None:
    label = {"bytes": base64.b64encode(LABEL.encode()).decode()}
    assert seen == {
        "shown": "shown", "text": LABEL, "data": label, "number": 0, "color": "RED", "small": EMPTY_SMALL, "texts": [],
        "number_of": {}, "wrapped": LABEL, "any": {}, "one_text": LABEL, "maybe": 0,
    }  # fmt: skip


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("unknown", ["refuse", "pass"])
def test_debug_redact_hides_without_a_rule(strict: bool, unknown: str, eyes: Eyes) -> None:
    message = new("Hiding")
    message.hidden.CopyFrom(hidden())
    message.hiddens.add().CopyFrom(hidden())
    message.hidden_of["k"].CopyFrom(hidden())
    gives = method("Hide", unknown).gives
    assert gives is not None
    seen = gives.read(message.SerializeToString(), strict=strict)
    assert CARD not in seen.line.decode()
    assert seen.redacted == 33
    data = seen.restore(seen.line)
    assert CARD.encode() not in data
    found = eyes.see("Hiding", data)
    for one in (found["hidden"], found["hiddens"][0], found["hidden_of"]["k"]):
        clean(one)


def test_debug_redact_hides_inside_any_in_any(eyes: Eyes) -> None:
    inner, outer, message = new("google.protobuf.Any"), new("google.protobuf.Any"), new("HidingAny")
    inner.Pack(hidden())
    outer.Pack(inner)
    message.any.CopyFrom(outer)
    gives = method("HideAny").gives
    assert gives is not None
    seen = gives.read(message.SerializeToString(), strict=False)
    data = seen.restore(seen.line)
    assert CARD.encode() not in data
    assert CARD.encode() not in seen.line
    found = eyes.see("HidingAny", data)["any"]["value"]
    assert found.pop("@type") == "type.googleapis.com/sample.Hidden"
    clean(found)


def test_debug_redact_hides_proto2s_fields_and_extensions() -> None:
    message = new("older.Old", name="n", hidden=CARD)
    message.Extensions[pool().FindExtensionByName("older.more_hidden")] = CARD
    gives = method("older.Olds/Do").gives
    assert gives is not None
    seen = gives.read(message.SerializeToString(), strict=False)
    assert CARD.encode() not in seen.restore(seen.line) + seen.line


def test_debug_redacts_paths_hide_arguments_in_the_journal() -> None:
    """The judge sees the arguments; the record and approvers do not."""
    for name, made in (("Hide", new("Hiding")), ("HideAny", new("HidingAny"))):
        if name == "Hide":
            made.hidden.CopyFrom(hidden())
            made.hiddens.add().CopyFrom(hidden())
            made.hidden_of["k"].CopyFrom(hidden())
        else:
            made.any.Pack(hidden())
        found = method(name)
        assert found.takes is not None
        args = found.takes.read(made.SerializeToString()).args
        assert CARD in json.dumps(args)
        shown = json.loads(mask(json.dumps(args).encode(), fields=[*found.redacted]))
        assert CARD not in json.dumps(shown)
        assert "shown" in json.dumps(shown)


# What cannot be put back is refused.


def test_two_entries_never_become_one() -> None:
    """Attack: keys that are hidden alike. The masker numbers them; were it not to, the answer would be refused."""
    message = new("All")
    message.text_of.update({CARD: "one", f"{CARD}5": "two"})
    gives = method("Do").gives
    assert gives is not None
    seen = gives.read(message.SerializeToString(), strict=True)
    with pytest.raises(Refused):
        seen.restore(b'{"text_of":{"[x]":"one","[x]":"two"}}')


@pytest.mark.parametrize(
    ("field", "masked"),
    [
        ("text", b'{"text":5}'), ("text", b'{"text":null}'), ("text", b'{"other":"[x]"}'), ("text", b"{}"), ("text", b'"[x]"'),
        ("text", b""), ("text", b"[]"), ("text", b'{"text":"[x]","more":1}'), ("text", b'{"text":"\xff"}'),
        ("text", b'{"text":"\\ud800"}'), ("number", b'{"number":4}'), ("number", b'{"number":{"a":1}}'),
        ("texts", b'{"texts":["[x]"]}'), ("texts", b'{"texts":{"a":"[x]"}}'), ("texts", b'{"texts":[1,2,3]}'),
        ("text_of", b'{"text_of":{"a":"[x]"}}'), ("text_of", b'{"text_of":[]}'), ("small", b'{"small":{"text":"[x]"}}'),
        ("small", b'{"small":{"deeper":{"nunber":"x"},"text":"[x]"}}'), ("any", b'{"any":{"@type":"x/older.Old","text":"[x]"}}'),
        ("struct", b'{"struct":{}}'), ("value", b'{"value":5}'), ("text_value", b'{"text_value":7}'),
        ("data", b'{"data":["[x]"]}'),
    ],
)  # fmt: skip
def test_what_masking_cannot_have_made_is_refused(field: str, masked: bytes) -> None:
    message = new("All")
    SECRETS[field](message)
    gives = method("Do").gives
    assert gives is not None
    seen = gives.read(message.SerializeToString(), strict=True)
    with pytest.raises(Refused) as caught:
        seen.restore(masked)
    assert caught.value.code is Code.MASKING_REFUSED
    assert CARD not in caught.value.private_detail


def test_a_field_whose_name_looks_like_a_secret_is_refused() -> None:
    """Masking renames it, and there is no such field."""
    message = new("google.protobuf.Struct")
    message.update({"x": CARD})
    gives = method("Watch").gives
    assert gives is not None
    seen = gives.read(b"\x0a\x01x", strict=True)
    with pytest.raises(Refused):
        seen.restore(b'{"[REDACTED:credit_card]":"x"}')
    assert issubclass(Unrestorable, Exception)


def test_an_answer_that_is_not_known_whole_is_refused() -> None:
    for data in (b"\x98\x06\x01", b"\x0a\x05a", b"\x0a\x01\xff"):
        for unknown, strict in (("refuse", False), ("refuse", True), ("pass", True)):
            gives = method("Watch", unknown).gives
            assert gives is not None
            with pytest.raises(Refused) as caught:
                gives.read(data, strict=strict)
            assert caught.value.code is Code.MASKING_REFUSED


def test_unknown_fields_of_answers_pass_without_masking_only() -> None:
    gives = method("Watch", "pass").gives
    assert gives is not None
    data = b"\x0a\x01x\x98\x06\x01"
    seen = gives.read(data, strict=False)
    assert seen.restore(seen.line) == data
    assert seen.line == b'{"text":"x"}'


def test_times_out_of_range_are_shown_by_their_fields() -> None:
    gives = method("Do").gives
    assert gives is not None
    message = new("All")
    message.at.seconds = 1 << 60
    seen = gives.read(message.SerializeToString(), strict=True)
    assert json.loads(seen.line) == {"at": {"seconds": 1 << 60, "nanos": 0}}
    assert seen.restore(seen.line) == message.SerializeToString()
    restored = seen.restore(mask(seen.line, fields=["at.seconds"]))
    assert type(message).FromString(restored).at.seconds == 0


@pytest.mark.parametrize(
    ("name", "message", "line"),
    [
        ("Wrapped", new("google.protobuf.StringValue", value=CARD), {"value": CARD}),
        ("Structured", new("google.protobuf.Value", number_value=NUMBER), {"value": float(NUMBER)}),
        ("When", new("google.protobuf.Duration", seconds=NUMBER // 1000000), {"value": "4111111111s"}),
        ("Nothing", new("google.protobuf.Empty"), {}),
    ],
    ids=["StringValue", "Value", "Duration", "Empty"],
)
def test_whole_answers_that_are_no_object_in_json(name: str, message: Any, line: Any) -> None:
    gives = method(name).gives
    assert gives is not None
    seen = gives.read(message.SerializeToString(), strict=True)
    assert json.loads(seen.line) == line
    data = seen.restore(mask(seen.line, detect=["credit_card"], fields=["value"]))
    found = gives.read(data, strict=True)
    assert CARD not in found.line.decode()
    if name in ("Wrapped", "Structured"):
        assert json.loads(found.line) == {"value": LABEL}


def test_the_details_of_a_failure_are_masked_too() -> None:
    status = Status(code=5, message=f"no card {CARD}")
    status.details.add().Pack(ErrorInfo(reason="GONE", metadata={"card": CARD}))
    answers = catalog().status
    assert answers is not None
    seen = answers.read(status.SerializeToString(), strict=True)
    data = seen.restore(mask(seen.line, detect=["credit_card"]))
    assert CARD.encode() not in data
    found = Status.FromString(data)
    inner = ErrorInfo()
    assert found.details[0].Unpack(inner)
    assert (found.code, inner.reason, inner.metadata["card"]) == (5, "GONE", "[REDACTED:credit_card]")
