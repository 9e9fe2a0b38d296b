"""Messages to arguments: every kind of field, what is refused, and that what is judged is what is sent."""

import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from funcgate.catalog.proto import ProtoSpec, load_proto
from funcgate.catalog.proto.texts import bytes_of, shown
from funcgate.core.refusal import Code, Refused
from support.protos import FOLDER, WHERE, Eyes, catalog, descriptor_set, method, new, same
from support.quick import examples


@pytest.fixture(scope="module")
def eyes() -> Iterator[Eyes]:
    made = Eyes()
    yield made
    made.close()


def args(name: str, data: bytes, unknown: str = "refuse") -> dict[str, Any]:
    takes = method(name, unknown).takes
    assert takes is not None
    return takes.read(data).args


def refused(name: str, data: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        args(name, data)
    return caught.value


# Wire pieces, by hand: what no library would write.


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def tag(number: int, wire: int) -> bytes:
    return varint(number << 3 | wire)


def num(number: int, value: int) -> bytes:
    return tag(number, 0) + varint(value & (1 << 64) - 1)


def blob(number: int, data: bytes) -> bytes:
    return tag(number, 2) + varint(len(data)) + data


def group(number: int, data: bytes) -> bytes:
    return tag(number, 3) + data + tag(number, 4)


def packed(type_: str, data: bytes, url: str = "type.googleapis.com/") -> bytes:
    return blob(1, (url + type_).encode()) + blob(2, data)


SMALL = blob(1, b"a")


def test_fields_without_presence_are_always_there() -> None:
    assert args("Count", b"") == {
        "int32": 0, "int64": 0, "uint32": 0, "uint64": 0, "sint32": 0, "sint64": 0, "fixed32": 0, "fixed64": 0,
        "sfixed32": 0, "sfixed64": 0, "float": 0.0, "double": 0.0, "bool": False, "color": "RED",
    }  # fmt: skip
    found = args("Do", b"")
    assert found["texts"] == []
    assert found["text_of"] == {}
    assert not found.keys() & {"maybe_text", "small", "one_text", "text_value", "at", "any"}


def test_an_empty_list_is_each_calls_own() -> None:
    args("Do", b"")["texts"].append("from another call")
    assert args("Do", b"")["texts"] == []


def test_the_extremes_of_every_number() -> None:
    extremes = {
        "int32": -(1 << 31), "int64": -(1 << 63), "uint32": (1 << 32) - 1, "uint64": (1 << 64) - 1,
        "sint32": (1 << 31) - 1, "sint64": -(1 << 63), "fixed32": (1 << 32) - 1, "fixed64": (1 << 64) - 1,
        "sfixed32": -(1 << 31), "sfixed64": (1 << 63) - 1, "float": 0.5, "double": 1.7976931348623157e308,
        "bool": True, "color": "BLUE",
    }  # fmt: skip
    message = new("Numbers", **{**extremes, "color": -3})
    assert args("Count", message.SerializeToString()) == extremes


def test_enums_go_by_their_first_name_and_unknown_ones_by_number() -> None:
    assert args("Count", num(14, 1))["color"] == "GREEN"
    assert args("Count", num(14, 77))["color"] == 77
    assert args("Count", num(14, -77))["color"] == -77


def test_a_closed_enum_has_no_unknown_numbers() -> None:
    assert refused("older.Olds/Do", blob(1, b"n") + num(4, 77)).code is Code.REQUEST_INVALID
    assert refused("edition.News/Do", num(4, 1) + num(7, 77)).code is Code.REQUEST_INVALID
    assert refused("older.Olds/Do", blob(1, b"n") + blob(6, blob(1, b"k") + num(2, 77))).code is Code.REQUEST_INVALID


def test_everything_at_once_as_documented() -> None:
    message = new("All", text="t", number=5, maybe_number=0, texts=["a", ""], colors=[0, 1, 9], one_text="")
    message.by_number[-4] = "minus four"
    message.by_flag[True].text = "yes"
    message.by_big[(1 << 64) - 1] = 1.5
    message.data = b"caf\xc3\xa9"
    message.datas.extend([b"\xff4111", b""])
    message.text_value.value = ""
    message.int64_value.value = 1 << 60
    message.text_values.add(value="w")
    message.at.FromJsonString("2026-11-21T10:00:00.250Z")
    message.lasts.FromJsonString("-1.5s")
    message.mask.paths.extend(["a.b", "c"])
    message.empty.SetInParent()
    message.struct.update({"a": [1, None, {"b": "c"}], "d": True})
    message.value.null_value = 0
    message.any.Pack(new("Small", text="in any"))
    message.anys.add().Pack(new("google.protobuf.Int64Value", value=7))
    found = args("Do", message.SerializeToString())
    wanted = {
        "text": "t", "number": 5, "maybe_number": 0, "texts": ["a", ""], "colors": ["RED", "GREEN", 9], "one_text": "",
        "by_number": {"-4": "minus four"}, "by_big": {"18446744073709551615": 1.5}, "data": "café",
        "by_flag": {"true": {"text": "yes", "number": 0}}, "datas": ["\uf7ff4111", ""], "text_value": "",
        "int64_value": 1 << 60, "text_values": ["w"], "at": "2026-11-21T10:00:00.250Z", "lasts": "-1.500s",
        "mask": {"paths": ["a.b", "c"]}, "empty": {}, "struct": {"a": [1.0, None, {"b": "c"}], "d": True}, "value": None,
        "any": {"@type": "type.googleapis.com/sample.Small", "text": "in any", "number": 0},
        "anys": [{"@type": "type.googleapis.com/google.protobuf.Int64Value", "value": 7}],
    }  # fmt: skip
    assert {name: found[name] for name in wanted} == wanted


def test_groups_extensions_and_required_fields_of_proto2() -> None:
    data = (
        blob(1, b"n") + group(2, num(1, 5)) + group(3, blob(1, b"x")) + blob(100, b"more") + num(101, 1) + num(101, 2)
    )
    found = args("older.Olds/Do", data)
    assert found["group"] == {"number": 5}
    assert found["many"] == [{"text": "x"}]
    assert (found["older/more"], found["older/more_numbers"]) == ("more", [1, 2])
    assert "grade" not in found
    assert refused("older.Olds/Do", b"").code is Code.REQUEST_INVALID
    assert refused("edition.News/Do", b"").code is Code.REQUEST_INVALID


def test_messages_that_are_no_object_in_json_stand_under_value() -> None:
    assert args("Wrapped", blob(1, b"x")) == {"value": "x"}
    assert args("Structured", b"") == {}
    assert args("Nothing", b"") == {}
    assert args("When", num(1, 60)) == {"value": "1970-01-01T00:01:00Z"}
    assert args("Anything", packed("sample.Small", SMALL))["text"] == "a"


def test_a_struct_in_an_any_cannot_say_another_type() -> None:
    """Attack: a member named @type inside, so that the policy sees a type that is not the one that is sent."""
    inner = new("google.protobuf.Struct")
    inner.update({"@type": "type.googleapis.com/harmless.Thing"})
    found = args("Anything", packed("google.protobuf.Struct", inner.SerializeToString()))
    assert found["@type"] == "type.googleapis.com/google.protobuf.Struct"
    assert found["value"] == {"@type": "type.googleapis.com/harmless.Thing"}


def test_fields_named_as_functions_of_messages_are_fields() -> None:
    message = new("Awkward")
    for name, value in (("ListFields", "l"), ("SerializeToString", 5), ("DESCRIPTOR", "d"), ("class", "c")):
        setattr(message, name, value)
    data = blob(1, b"l") + num(2, 5) + blob(3, b"") + blob(4, b"d") + blob(5, b"c") + blob(6, b"e")
    takes = method("Confuse").takes
    assert takes is not None
    judged = takes.read(data)
    assert judged.data == data
    assert judged.args == {
        "ListFields": "l", "SerializeToString": 5, "inner": {}, "DESCRIPTOR": "d", "class": "c", "Extensions": "e",
    }  # fmt: skip


NAN, INFINITE = struct.pack("<d", float("nan")), struct.pack("<d", float("inf"))
DEEP = SMALL
for _ in range(80):
    DEEP = blob(3, DEEP)
DEEP_ANY = packed("sample.Small", SMALL)
for _ in range(80):
    DEEP_ANY = packed("google.protobuf.Any", DEEP_ANY)
DEEP_ANY_TOO = packed("sample.Small", SMALL)
for _ in range(7):
    DEEP_ANY_TOO = packed("google.protobuf.Any", DEEP_ANY_TOO)
DEEP_STRUCT = blob(3, b"x")
for _ in range(60):
    DEEP_STRUCT = blob(6, blob(1, DEEP_STRUCT))
NEEDS = blob(1, b"n")

REFUSED = {
    "an unknown field": ("Watch", SMALL + num(99, 1)),
    "an unknown empty group": ("Watch", SMALL + group(99, b"")),
    "an unknown field of 0 bytes": ("Watch", SMALL + blob(99, b"")),
    "a known field with another wire type": ("Watch", num(1, 5)),
    "an unknown field in a nested message": ("Watch", blob(3, num(99, 1))),
    "an unknown field in an element": ("Do", blob(27, num(99, 1))),
    "an unknown field in a map's value": ("Do", blob(37, blob(1, b"k") + blob(2, num(99, 1)))),
    "an unknown field in a map's entry": ("Do", blob(37, blob(1, b"k") + blob(2, SMALL) + num(3, 1))),
    "an unknown field in a oneof": ("Do", blob(47, num(99, 1))),
    "an unknown field in an Any": ("Do", blob(91, packed("sample.Small", num(99, 1)))),
    "an unknown field beside an Any's value": ("Do", blob(91, packed("sample.Small", SMALL) + num(3, 1))),
    "an unknown field in an Any in an Any": (
        "Do",
        blob(91, packed("google.protobuf.Any", packed("sample.Small", num(99, 1)))),
    ),
    "an unknown field in a Timestamp": ("Do", blob(71, num(1, 5) + num(3, 1))),
    "an unknown field in a wrapper": ("Do", blob(51, blob(1, b"x") + num(2, 1))),
    "an unknown field in a Struct": ("Do", blob(81, blob(1, blob(1, b"k") + blob(2, num(9, 1))))),
    "an unknown field in a group": ("older.Olds/Do", NEEDS + group(2, num(9, 1))),
    "an unknown extension": ("older.Olds/Do", NEEDS + num(150, 1)),
    "an Any of an unknown type": ("Do", blob(91, packed("secret.Type", b""))),
    "an Any with a type without a slash": ("Do", blob(91, packed("sample.Small", b"", url=""))),
    "an Any with a value and no type": ("Do", blob(91, blob(2, b"\x01"))),
    "an Any whose value is something else": ("Do", blob(91, packed("sample.Small", b"\xff"))),
    "a required field that is missing in an Any": ("Do", blob(91, packed("older.Old", b""))),
    "a required field that is missing in a map": ("older.Olds/Do", NEEDS + blob(8, blob(1, b"x"))),
    "NaN": ("Do", tag(4, 1) + NAN),
    "infinity": ("Do", tag(4, 1) + INFINITE),
    "NaN in a list": ("Do", blob(24, struct.pack("<d", 1.0) + NAN)),
    "NaN in a map": ("Do", blob(30, num(1, 1) + tag(2, 1) + NAN)),
    "NaN in a wrapper": ("Do", blob(57, tag(1, 1) + NAN)),
    "NaN in a Value": ("Do", blob(82, tag(2, 1) + NAN)),
    "a Value without a value": ("Do", blob(82, b"")),
    "a list with a Value without a value": ("Do", blob(83, blob(1, b""))),
    "a Timestamp beyond year 9999": ("Do", blob(71, num(1, 1 << 60))),
    "a Timestamp with a negative fraction": ("Do", blob(71, num(2, -1))),
    "a Duration whose parts have two signs": ("Do", blob(72, num(1, 1) + num(2, -1))),
    "a string that is not UTF-8": ("Watch", blob(1, b"\xff")),
    "a string with an overlong NUL": ("Watch", blob(1, b"\xc0\x80")),
    "a string with a surrogate": ("Watch", blob(1, b"\xed\xa0\x80")),
    "a string of proto2 that is not UTF-8": ("older.Olds/Do", blob(1, b"\xff")),
    "a repeated string of proto2 that is not UTF-8": ("older.Olds/Do", NEEDS + blob(11, b"\xff")),
    "a string that need not be UTF-8": ("edition.News/Do", num(4, 1) + blob(1, b"\xff")),
    "a key that is not UTF-8": ("Do", blob(31, blob(1, b"\xff") + blob(2, b"x"))),
    "a map's value that is not UTF-8": ("Do", blob(31, blob(1, b"k") + blob(2, b"\xff"))),
    "a string in an Any that is not UTF-8": ("Do", blob(91, packed("older.Old", blob(1, b"\xff")))),
    "too deep": ("Watch", DEEP),
    "too deep in Any": ("Anything", DEEP_ANY),
    "eight Any in one another": ("Anything", DEEP_ANY_TOO),
    "too deep in ListValue": ("Structured", blob(1, blob(1, b"k") + blob(2, DEEP_STRUCT))),
    "a group that is not closed": ("older.Olds/Do", NEEDS + tag(2, 3) + num(1, 5)),
    "a group that is closed by another": ("older.Olds/Do", NEEDS + tag(2, 3) + tag(3, 4)),
    "a group's end alone": ("Watch", tag(3, 4)),
    "a cut message": ("Watch", blob(1, b"abc")[:-1]),
    "a cut varint": ("Watch", tag(2, 0) + b"\x80"),
    "a varint of 11 bytes": ("Watch", tag(2, 0) + b"\xff" * 10 + b"\x01"),
    "a field of number 0": ("Watch", b"\x02\x00"),
    "a wire type that is none": ("Watch", b"\x0e\x00"),
    "a length beyond the end": ("Watch", tag(1, 2) + b"\xff\xff\xff\xff\x0f"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    name, data = REFUSED[what]
    found = refused(name, data)
    assert found.code is (
        Code.REQUEST_TOO_LARGE
        if what in ("too deep", "too deep in Any", "eight Any in one another")
        else Code.REQUEST_INVALID
    )
    assert "secret" not in found.public_detail


@pytest.mark.parametrize("count", [9, 10])
def test_too_many_values(count: int) -> None:
    spec = ProtoSpec(reflection=True, max_values=30)  # three for each message: two fields, and the message
    small = load_proto("t", spec, FOLDER, WHERE, descriptor_set())
    found = small.find(b"/sample.Samples/Watch")
    assert found is not None
    assert found.takes is not None
    data = SMALL
    for _ in range(count):
        data = blob(3, data)
    if count == 9:
        found.takes.read(data)
        return
    with pytest.raises(Refused) as caught:
        found.takes.read(data)
    assert caught.value.code is Code.REQUEST_TOO_LARGE


@pytest.mark.parametrize("depth", [5, 64, 100])
def test_the_depth_is_what_the_configuration_says(depth: int) -> None:
    """Up to what protobuf reads; in answers, which are read and put back, too."""
    spec = ProtoSpec(reflection=True, max_depth=depth)
    found = load_proto("t", spec, FOLDER, WHERE, descriptor_set()).find(b"/sample.Samples/Collect")
    assert found is not None
    assert found.takes is not None
    assert found.gives is not None
    data = SMALL
    for _ in range(depth - 1):
        data = blob(3, data)
    assert found.takes.read(data).data == data
    seen = found.gives.read(data, strict=True)
    assert new("Small", text="*").SerializeToString() in seen.restore(seen.line.replace(b'"a"', b'"*"'))
    for read in (found.takes.read, lambda deeper: found.gives and found.gives.read(deeper, strict=True)):
        with pytest.raises(Refused) as caught:
            read(blob(3, data))
        assert caught.value.code in (Code.REQUEST_TOO_LARGE, Code.MASKING_REFUSED)


def test_seven_any_in_one_another_are_not_too_deep() -> None:
    data = packed("sample.Small", SMALL)
    for _ in range(6):
        data = packed("google.protobuf.Any", data)
    found: Any = args("Anything", data)
    for _ in range(6):
        found = found["value"]
    assert found["text"] == "a"


def test_empty_elements_count_with_what_they_are_read_into() -> None:
    """Attack: two bytes for each empty message, a dictionary for each that is read."""
    assert refused("Do", blob(27, b"") * 70_000).code is Code.REQUEST_TOO_LARGE
    assert refused("Do", blob(23, b"\x01" * 200_001)).code is Code.REQUEST_TOO_LARGE
    assert len(args("Do", blob(23, b"\x01" * 1000))["numbers"]) == 1000


def test_unknown_fields_pass_where_the_configuration_says_so() -> None:
    takes = method("Watch", "pass").takes
    assert takes is not None
    judged = takes.read(SMALL + num(99, 7) + blob(3, num(98, 1)))
    assert judged.args == {"text": "a", "number": 0, "deeper": {"text": "", "number": 0}}
    assert num(99, 7) in judged.data
    assert num(98, 1) in judged.data
    found = args("Anything", packed("no.Such", b"\x01\xff"), "pass")
    assert found == {"@type": "type.googleapis.com/no.Such", "value": "\x01\uf7ff"}


# What is judged is what is sent (P9). The other reader shares no code with ours, nor protobuf's own C code.

SPELLINGS = {
    "a singular field twice": ("Watch", blob(1, b"first") + num(2, 1) + blob(1, b"second"), {"text": "second"}),
    "a nested message in two parts": (
        "Watch",
        blob(3, blob(1, b"a") + num(2, 1)) + blob(3, num(2, 9)),
        {"deeper": {"text": "a", "number": 9}},
    ),
    "a oneof twice": ("Do", blob(41, b"text") + num(43, 7), {"one_number": 7}),
    "a oneof twice, with a message": ("Do", blob(47, SMALL) + blob(47, num(2, 4)), {"one_small": {"text": "a", "number": 4}}),
    "a oneof that comes back": (
        "Do",
        blob(47, SMALL) + num(43, 7) + blob(47, num(2, 4)),
        {"one_small": {"text": "", "number": 4}},
    ),
    "a map's key twice": (
        "Do",
        blob(33, blob(1, b"k") + num(2, 1)) + blob(33, blob(1, b"k") + num(2, 2)),
        {"number_of": {"k": 2}},
    ),
    "a map's entry backwards, with its key twice": (
        "Do",
        blob(33, num(2, 5) + blob(1, b"x") + blob(1, b"k")),
        {"number_of": {"k": 5}},
    ),
    "a map's entry without key and value": ("Do", blob(33, b""), {"number_of": {"": 0}}),
    "a packed field that is not packed": ("Do", num(23, 1) + num(23, 2), {"numbers": [1, 2]}),
    "an unpacked field that is packed": ("Do", blob(28, b"\x01\x02"), {"unpacked": [1, 2]}),
    "both ways in one": ("Do", num(23, 1) + blob(23, b"\x02\x03") + num(23, 4), {"numbers": [1, 2, 3, 4]}),
    "a long varint": ("Watch", tag(2, 0) + b"\x85\x80\x80\x80\x00", {"number": 5}),
    "a varint of ten bytes with bits too many": ("Watch", tag(2, 0) + b"\xff" * 9 + b"\x7f", {"number": -1}),
    "a long tag": ("Watch", b"\x90\x80\x00\x07", {"number": 7}),
    "a long length": ("Watch", tag(1, 2) + b"\x81\x80\x00a", {"text": "a"}),
    "32 bits from 64": ("Count", num(1, (1 << 40) + 7), {"int32": 7}),
    "a bool of 2": ("Count", num(13, 2), {"bool": True}),
    "an enum from 64 bits": ("Count", num(14, (1 << 32) + 1), {"color": "GREEN"}),
    "a default that is sent": ("Watch", blob(1, b"") + num(2, 0), {"text": "", "number": 0}),
    "minus zero": ("Count", tag(12, 1) + struct.pack("<d", -0.0), {"double": -0.0}),
    "an Any with a field twice": (
        "Anything",
        packed("sample.Small", blob(1, b"first") + blob(1, b"second")),
        {"text": "second"},
    ),
    "an Any with its type twice": (
        "Anything",
        blob(1, b"x/older.Old") + blob(2, SMALL) + blob(1, b"x/sample.Small"),
        {"@type": "x/sample.Small", "text": "a"},
    ),
    "a group twice": ("older.Olds/Do", NEEDS + group(2, num(1, 1)) + group(2, num(1, 2)), {"group": {"number": 2}}),
    "a Value with two kinds": ("Do", blob(82, blob(3, b"text") + num(4, 1)), {"value": True}),
    "fields in any order": ("Watch", num(2, 1) + blob(1, b"a"), {"text": "a", "number": 1}),
}  # fmt: skip
TYPES = {
    "Watch": "Small",
    "Do": "All",
    "Count": "Numbers",
    "Anything": "google.protobuf.Any",
    "older.Olds/Do": "older.Old",
}


@pytest.mark.parametrize("what", SPELLINGS)
def test_one_spelling_is_left(what: str, eyes: Eyes) -> None:
    name, data, wanted = SPELLINGS[what]
    takes = method(name).takes
    assert takes is not None
    judged = takes.read(data)
    assert {key: judged.args[key] for key in wanted} == wanted
    assert same(judged.args, eyes.see(TYPES[name], judged.data))
    again = takes.read(judged.data)
    assert again == judged
    assert b"first" not in judged.data


def test_the_same_arguments_are_the_same_bytes() -> None:
    """What an approval is for is known by its digest; entries of a map come in any order."""
    takes = method("Do").takes
    assert takes is not None
    entries = [blob(33, blob(1, key) + num(2, at)) for at, key in enumerate([b"a", b"b", b"c", b"d", b"e"])]
    assert takes.read(b"".join(entries)).data == takes.read(b"".join(reversed(entries))).data


def test_floats_are_told_exactly(eyes: Eyes) -> None:
    for value in (0.1, 1 / 3, 1e-45, 3.4e38, -0.0, 16777217.0):
        data = new("Numbers", float=value, double=value).SerializeToString()
        assert same(args("Count", data), eyes.see("Numbers", data))


PIECES = st.one_of(
    st.builds(num, st.integers(1, 120), st.integers(-(1 << 63), (1 << 64) - 1)),
    st.builds(blob, st.integers(1, 120), st.binary(max_size=12)),
    st.builds(blob, st.sampled_from([7, 27, 47, 101, 3]), st.builds(num, st.integers(1, 3), st.integers(0, 300))),
    st.builds(
        lambda number, key, value: blob(number, blob(1, key) + blob(2, value)),
        st.integers(31, 39),
        st.binary(max_size=3),
        st.binary(max_size=6),
    ),
    st.builds(lambda inner: blob(91, packed("sample.Small", inner)), st.binary(max_size=8)),
    st.builds(lambda at: blob(71, num(1, at)), st.integers(-(1 << 40), 1 << 40)),
    st.builds(lambda one, two: tag(one, 1) + two, st.integers(1, 60), st.binary(min_size=8, max_size=8)),
    st.binary(max_size=4),
)


@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(PIECES, max_size=8).map(b"".join))
@example(b"")
@example(blob(71, num(1, -(1 << 35))))
def test_whatever_is_let_through_is_what_was_judged(eyes: Eyes, data: bytes) -> None:
    takes = method("Do").takes
    assert takes is not None
    try:
        judged = takes.read(data)
    except Refused:
        return
    assert same(judged.args, eyes.see("All", judged.data))
    assert takes.read(judged.data) == judged


@given(st.binary(max_size=60))
@example(b"\xef\x9e\x80")
@example(b"\xef\x9e\x80\xff")
@example(b"\x80\xef\x9f\xbf\x41")
@example(b"\xed\xb2\x80")
def test_bytes_have_one_text_and_come_back(data: bytes) -> None:
    text = shown(data)
    assert bytes_of(text) == data
    text.encode()
    if all(byte < 0x80 for byte in data):
        assert text == data.decode()


@given(st.binary(max_size=6), st.binary(max_size=6))
@example(b"\xef\x9e\x80", b"\x80")
@example(b"\xef\x9e\x80", b"\xef\x9e\x80\x80")
def test_two_bytes_have_two_texts(one: bytes, other: bytes) -> None:
    assert (shown(one) == shown(other)) == (one == other)


def test_the_catalogue_has_them_all() -> None:
    assert {name for name in catalog().functions if name.startswith("t.sample")} == {
        f"t.sample.Samples/{name}"
        for name in ("Do", "Watch", "Collect", "Talk", "Count", "Hide", "HideAny", "Confuse", "Nothing", "Wrapped",
                     "Structured", "Anything", "When")
    }  # fmt: skip
