"""The compiled halves beside the pure ones: what they accept is, byte for byte, what is written anew; what they put back, too."""

import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funcgate.catalog.proto import MessageLimits, ProtoSpec, load_proto
from funcgate.catalog.proto.method import Answers, Args
from funcgate.catalog.proto.quick import args_reader, line_reader
from funcgate.core.native import half
from funcgate.core.refusal import Refused
from support.protos import catalog, method, new
from support.quick import examples

pytestmark = pytest.mark.skipif(
    half("funcgate.catalog.proto._native") is None, reason="not built, or FUNCGATE_PURE is set"
)

# Fields of All that the compiled halves leave to the pure ones, with what is in them.
BARRED = {"struct", "value", "list", "values", "value_of", "any", "anys", "any_of", "one_any"}
TEXTS = (
    "",
    "a",
    "plain text",
    "4111 1111 1111 1111",
    "é",
    'a "quoted" one',
    "back\\slash",
    "\x00\n\x7f",
    "😀" * 3,
    "x" * 200,
)
BYTES = (b"", b"a", b"4111111111111111", b"\xff\x00", "é".encode(), b"\xef\x9e\x80", b'"', b"y" * 130)
INTEGERS = (
    0,
    1,
    -1,
    5,
    127,
    128,
    300,
    -(1 << 31),
    (1 << 31) - 1,
    (1 << 32) - 1,
    -(1 << 63),
    (1 << 63) - 1,
    (1 << 64) - 1,
)
REALS = (0.0, -0.0, 1.0, 0.1, -2.5e300, 1e-7, 3.25, float("inf"), float("nan"))
KINDS: dict[int, tuple[Any, ...]] = {1: REALS, 2: REALS, 8: (False, True), 9: TEXTS, 12: BYTES, 14: (0, 1, -3, 77)}


def sides(method_name: str) -> tuple[Args, Answers]:
    found = method(method_name)
    assert found.takes is not None
    assert found.gives is not None
    return found.takes, found.gives


def single(field: Any, rng: random.Random) -> Any:
    """A value of the field's type, most often an odd one."""
    while True:
        value = rng.choice(KINDS.get(field.type, INTEGERS))
        try:
            probe = new("sample.Numbers")
            if field.type in (3, 4, 5, 6, 7, 13, 15, 16, 17, 18):
                name = next(one.name for one in probe.DESCRIPTOR.fields if one.type == field.type)
                setattr(probe, name, value)
        except ValueError:
            continue
        if field.type == 2:
            try:
                return struct.unpack("f", struct.pack("f", value))[0]
            except OverflowError:
                continue
        return value


def fill(message: Any, rng: random.Random, density: float, depth: int = 0, barred: frozenset[str] = frozenset()) -> Any:
    """Fields at random; `barred` ones never."""
    for field in type(message).DESCRIPTOR.fields:  # of the class: there is a field of this name
        if field.name in barred or rng.random() > density or (field.type in (10, 11) and depth > 3):
            continue
        entry = field.message_type is not None and field.message_type.GetOptions().map_entry
        below = (rng, density / 2, depth + 1, barred)
        if entry:
            key, value = (field.message_type.fields_by_name[part] for part in ("key", "value"))
            for _ in range(rng.randrange(4)):
                at = single(key, rng)
                if value.type == 11:  # also one without anything in it
                    fill(getattr(message, field.name)[at], *below)
                else:
                    getattr(message, field.name)[at] = closed(value, rng)
        elif field.is_repeated:
            for _ in range(rng.randrange(4)):
                if field.type in (10, 11):
                    fill(getattr(message, field.name).add(), *below)
                else:
                    getattr(message, field.name).append(closed(field, rng))
        elif field.type in (10, 11):
            inner = getattr(message, field.name)
            inner.SetInParent()
            fill(inner, *below)
        else:
            setattr(message, field.name, closed(field, rng))
    return message


def closed(field: Any, rng: random.Random) -> Any:
    if field.type == 14 and field.enum_type.is_closed:
        return rng.choice(field.enum_type.values).number
    return single(field, rng)


def outcome(of: Callable[[], Any]) -> Any:
    try:
        return of()
    except Refused as refused:
        return refused.code


def same_args(takes: Args, data: bytes) -> bool:
    """Whether the compiled half takes the message; then it means what the pure one says it means."""
    found = args_reader(takes._reader.table(), takes._limits)(data)
    if found is None:
        return False
    judged = takes.pure_read(data)
    assert repr(in_order(found)) == repr(in_order(judged.args))
    assert list(found) == list(judged.args)
    assert judged.data == data
    return True


def in_order(value: Any) -> Any:
    """Entries of maps have no order; everything else has."""
    if isinstance(value, dict):
        return {key: in_order(value[key]) for key in sorted(value)}
    return [in_order(one) for one in value] if isinstance(value, list) else value


def same_line(gives: Answers, data: bytes, salts: int = 6) -> bool:
    """The same for answers, masked in several ways and put back."""
    line = line_reader(gives._strict.table(), gives._limits, gives._restore)(data)
    if line is None:
        return False
    pure = gives.pure_read(data, strict=True)
    shown, pure_shown = msgspec.json.decode(line.line), msgspec.json.decode(pure.line)
    assert repr(in_order(shown)) == repr(in_order(pure_shown))
    assert sorted(line.line) == sorted(pure.line)
    assert line.restore(line.line) == data == pure.restore(pure.line)
    for salt in range(salts):
        line = line_reader(gives._strict.table(), gives._limits, gives._restore)(data)
        assert line is not None
        pure = gives.pure_read(data, strict=True)
        masked = msgspec.json.encode(hidden(shown, salt))
        pure_masked = msgspec.json.encode(hidden(pure_shown, salt))
        assert outcome(lambda: line.restore(masked)) == outcome(lambda: pure.restore(pure_masked))  # noqa: B023
    return True


def hidden(value: Any, salt: int) -> Any:
    """What a mask may make of a line: of texts with an even salt, of anything with an odd one. The same for the same content."""
    chance = crc32(repr((in_order(value), salt)).encode())
    if isinstance(value, str) and chance % 3 == 0:
        return ("[REDACTED]", "*", "é***", 'a"b', "", "z" * 150)[chance // 3 % 6]
    if salt % 2 and chance % 23 == 0:
        return "[HIDDEN]"
    if isinstance(value, dict):
        if salt == 5 and chance % 2:
            return {
                (f"[{key}]" if crc32(key.encode()) % 5 == 0 else key): hidden(one, salt) for key, one in value.items()
            }
        return {key: hidden(one, salt) for key, one in value.items()}
    return [hidden(one, salt) for one in value] if isinstance(value, list) else value


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Cut, changed, doubled, exchanged."""
    found = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        at, end = sorted(rng.randrange(len(found) + 1) for _ in range(2))
        kind = rng.randrange(6)
        if kind == 0:
            del found[at:]
        elif kind == 1:
            del found[at : at + 1]
        elif kind == 2 and found:
            found[at % len(found)] = rng.choice((0, 1, 2, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif kind == 3:
            found[at:at] = found[at:end]
        elif kind == 4:
            found[at:at] = rng.choice((b"\x80\x00", b"\x00", b"\x08\x00", b"\x80\x80\x00", b"\xc2"))
        else:
            found[at:end] = found[at:end][::-1]
    return bytes(found)


def services() -> Iterator[tuple[str, str]]:
    """Every type that a sample method takes and gives back, with such a method."""
    for each in catalog().methods.values():
        if each.takes is not None and each.gives is not None:
            taken = each.takes._reader.descriptor.full_name
            if taken == each.gives._strict.descriptor.full_name:
                yield taken, each.function.name


SERVICES = sorted(dict(services()).items())


@pytest.mark.parametrize(("type_", "name"), SERVICES, ids=[taken for taken, _ in SERVICES])
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32), density=st.sampled_from((0.03, 0.1, 0.3, 0.9)))
def test_whatever_is_taken_means_the_same(type_: str, name: str, seed: int, density: float) -> None:
    rng = random.Random(seed)
    takes, gives = sides(name)
    message = fill(new(type_), rng, density, barred=frozenset(BARRED) if rng.random() < 0.7 else frozenset())
    data = message.SerializePartialToString(deterministic=True)
    same_args(takes, data)
    same_line(gives, data)
    for _ in range(12):
        odd = mutated(data, rng)
        same_args(takes, odd)
        same_line(gives, odd)


@settings(max_examples=examples(150), deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_plain_messages_are_taken(seed: int) -> None:
    """Or the compiled halves would be right and idle."""
    rng = random.Random(seed)
    takes, gives = sides("Do")
    odd = {"real", "reals", "by_big", "double_value", "float_value", "each", "data", "datas", "data_of", "bytes_value"}
    odd |= {
        "maybe_data",
        "one_data",
        "at",
        "ats",
        "lasts",
        "by_number",
        "by_flag",
    }  # of which only the first is in order
    message = fill(new("All"), rng, 0.3, barred=frozenset(BARRED | odd))
    data = message.SerializeToString(deterministic=True)
    assert same_args(takes, data)
    assert same_line(gives, data)


@pytest.mark.parametrize("field", [field.name for field in new("All").DESCRIPTOR.fields])
def test_each_field_alone(field: str) -> None:
    takes, gives = sides("Do")
    rng = random.Random(field)
    others = frozenset(one.name for one in new("All").DESCRIPTOR.fields if one.name != field)
    taken = 0
    for _ in range(40):
        message = new("All")
        while not message.ByteSize():
            if field == "inner":
                fill(message.inner, rng, 0.1, barred=frozenset(BARRED))
            else:
                fill(message, rng, 1.0, barred=others)
        data = message.SerializeToString(deterministic=True)
        taken += same_args(takes, data) and same_line(gives, data)
    assert (taken > 0) == (field not in BARRED)


CASES = {
    "a default": b"\x18\x00",
    "an empty text": b"\x0a\x00",
    "zeros in front": b"\x18\x81\x00",
    "eleven bytes": b"\x18" + b"\xff" * 9 + b"\x7f\x01",
    "more than 64 bits": b"\x18" + b"\xff" * 9 + b"\x02",
    "a field twice": b"\x18\x01\x18\x02",
    "out of order": b"\x18\x01\x0a\x01a",
    "another wire type": b"\x1a\x01\x01",
    "not declared": b"\x98\x06\x01",
    "a tag in two bytes": b"\x98\x00\x01",
    "a truth of two": b"\x28\x02",
    "an enum beyond 32 bits": b"\x30\x80\x80\x80\x80\x10",
    "not UTF-8": b"\x0a\x01\xff",
    "a surrogate": b"\x0a\x03\xed\xa0\x80",
    "a length too long": b"\x0a\x02a",
    "a length cut": b"\x0a\x80",
    "a nested length too long": b"\x3a\x02\x0a\x01",
    "two members of a oneof": b"\xca\x02\x01a\xd8\x02\x01",
    "an empty packed list": b"\xba\x01\x00",
    "packed, though it is not declared so": b"\xe2\x01\x01\x05",
    "not packed, though it is declared so": b"\xb8\x01\x05",
    "keys out of order": b"\xfa\x01\x06\x0a\x01b\x12\x01x\xfa\x01\x06\x0a\x01a\x12\x01x",
    "keys in another order": b"\xfa\x01\x05\x0a\x00\x12\x01x\xfa\x01\x06\x0a\x01a\x12\x01x",
    "a key twice": b"\xfa\x01\x06\x0a\x01a\x12\x01x\xfa\x01\x06\x0a\x01a\x12\x01y",
    "an entry without a value": b"\xfa\x01\x03\x0a\x01a",
    "an entry without a key": b"\xfa\x01\x03\x12\x01a",
    "an entry with more": b"\xfa\x01\x08\x0a\x01a\x12\x01x\x18\x01",
    "a group": b"\x0b\x0c",
    "a number that is cut": b"\x21\x00\x00\x00\x00\x00\x00\xf0",
    "no number": b"\x21\x00\x00\x00\x00\x00\x00\xf8\x7f",
    "minus zero": b"\x21\x00\x00\x00\x00\x00\x00\x00\x80",
    "a time out of range": b"\xba\x04\x0a\x08" + b"\xff" * 8 + b"\x7f",
}


@pytest.mark.parametrize("case", CASES)
def test_every_other_spelling_is_left_to_the_pure_half(case: str) -> None:
    takes, gives = sides("Do")
    assert not same_args(takes, CASES[case])
    assert not same_line(gives, CASES[case])


def test_every_cut_of_a_message() -> None:
    takes, gives = sides("Do")
    message = new("All", text="a", texts=["b", "é"], numbers=[1, 300], small_of={"k": new("Small", text="x")})
    message.inner.text_of.update({"a": "b", "c": ""})
    data = message.SerializeToString(deterministic=True)
    assert same_args(takes, data)
    for end in range(len(data)):
        same_args(takes, data[:end])
        same_line(gives, data[:end])


def test_limits_are_the_same() -> None:
    takes, gives = sides("Do")
    deep = new("All")
    at = deep
    for _ in range(10):
        at.smalls.add(text="a").deeper.deeper.text = "b"
        at = at.inner
    data = deep.SerializeToString(deterministic=True)
    taken = set()
    for limits in [MessageLimits(depth=depth) for depth in range(1, 20)] + [
        MessageLimits(values=n) for n in range(1, 600, 7)
    ]:
        args, answers = Args(takes._reader, limits), Answers(gives._strict, gives._strict, limits)
        quick = args_reader(takes._reader.table(), limits)(data)
        assert (quick is None) == isinstance(outcome(lambda: args.pure_read(data)), str)  # noqa: B023
        line = line_reader(gives._strict.table(), limits, answers._restore)(data)
        assert (line is None) == isinstance(outcome(lambda: answers.pure_read(data, strict=True)), str)  # noqa: B023
        taken.add((quick is None, line is None))
    assert {(True, True), (False, False)} <= taken


TREE = """
syntax = "proto3";
package deep;
service Trees { rpc Grow(Tree) returns (Tree); }
message Tree {
  map<string, Tree> by_name = 1;
  repeated Tree trees = 2;
  Leaf leaf = 3;
  map<int32, string> by_number = 4;
}
message Leaf { string text = 1; }
"""


def within(data: bytes, tag: bytes) -> bytes:
    size, length = len(data), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return tag + length + bytes([size]) + data


@pytest.mark.slow
def test_nothing_deeper_than_protobuf_follows(tmp_path: Path) -> None:
    """Entries of maps are a level, too: for protobuf, not for `max_depth`."""
    (tmp_path / "tree.proto").write_text(TREE)
    found = load_proto("t", ProtoSpec(proto=["tree.proto"]), tmp_path, ("t",)).find(b"/deep.Trees/Grow")
    assert found is not None
    assert found.takes is not None
    assert found.gives is not None
    taken = set()
    for limits in (MessageLimits(depth=100), MessageLimits(depth=500), MessageLimits()):
        takes, gives = Args(found.takes._reader, limits), Answers(found.gives._strict, found.gives._open, limits)
        for ends, innermost in enumerate((b"", b"\x1a\x03\x0a\x01x", b"\x22\x05\x08\x05\x12\x01x")):
            for by_map in range(3):  # never, every second time, always
                data = innermost
                for level in range(1, 130):
                    map_too = by_map == 2 or (by_map and level % 2)
                    data = within(b"\x0a\x01k" + within(data, b"\x12"), b"\x0a") if map_too else within(data, b"\x12")
                    takes_it = same_args(takes, data)
                    assert takes_it == same_line(gives, data, salts=1)
                    taken.add((ends, by_map, takes_it))
    assert len(taken) == 18


def test_what_the_description_hides_is_left_to_the_pure_half() -> None:
    found = method("Hide")
    assert found.gives is not None
    data = new("Hiding", hidden=new("Hidden", shown="a", text="secret")).SerializeToString()
    assert line_reader(found.gives._strict.table(), MessageLimits(), found.gives._restore)(data) is None
    assert b"secret" not in found.gives.read(data, strict=True).line
