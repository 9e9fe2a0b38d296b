"""What a worker may say, and what it may not: compiled and pure judge alike, and nothing that is taken forges anything."""

import json
from typing import Any
from zlib import crc32

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from funcgate.core import ids
from funcgate.core.crc import crc_holds
from funcgate.core.entry import Decided, Entry, Kind, Who, decode_line
from funcgate.core.native import half
from funcgate.core.reply import Outcome
from funcgate.stores import lines, parcels
from funcgate.stores.parcels import GROUP, HEAD, SIZE, Forged, Group, Head
from support.quick import examples

native = half("funcgate.stores._parcels")
MARK = "ABCDEFGH"
AT = "2026-11-21T09:30:00.123456Z"
MINE = f"01M80QSVN9{MARK}24QF8B59"
OTHERS = "01M80QSVN9ZZZZZZZZ24QF8B59"
Outcome_ = tuple[object, ...]


def parcel(*bodies: bytes, number: int = 1, waits: bool = True) -> bytes:
    return parcels.packed(Head(number, waits), [Group(waits, list(bodies))])


def take(payload: bytes, mark: str, *, compiled: bool, open_: tuple[str, ...] = ()) -> Outcome_:
    """As a guest takes it: what came into the buffer, and what became of the calls that are open."""
    buffer, mine, all_open, left = bytearray(b"before\n"), set(open_), {*open_, "local"}, list[int]()
    stamp = native.stamp if compiled else parcels.stamp
    try:
        seq = stamp(buffer, payload, mark, 41, AT, all_open, mine, left)
        if seq < 0:
            assert (bytes(buffer), left, mine) == (b"before\n", [], set(open_))
            seq = parcels.stamp_judged(buffer, parcels.judged(payload, mark), 41, AT, all_open, mine, left)
    except Forged:
        assert (bytes(buffer), left, mine) == (b"before\n", [], set(open_))
        return ("forged",)
    assert buffer.startswith(b"before\n")
    return seq, bytes(buffer[7:]), sorted(mine), sorted(all_open), left


def both(payload: bytes, mark: str = MARK, open_: tuple[str, ...] = ()) -> Outcome_:
    pure = take(payload, mark, compiled=False, open_=open_)
    if native is not None:
        assert take(payload, mark, compiled=True, open_=open_) == pure
    return pure


def assert_sound(outcome: Outcome_, mark: str) -> None:
    """Nothing in it says what a worker may not say, however it is read."""
    if outcome == ("forged",):
        return
    seq, written, *_ = outcome
    assert isinstance(written, bytes)
    assert b"\0" not in written
    assert b"\r" not in written
    told = written.split(b"\n")
    assert told.pop() == b""
    assert seq == 41 + len(told)
    for number, line in enumerate(told, 42):
        assert crc_holds(line) is True
        pairs: list[tuple[str, Any]] = json.loads(line, object_pairs_hook=lambda pairs: pairs, parse_int=str)
        names = [name for name, _ in pairs]
        assert names[:4] == ["seq", "at", "kind", "call"]
        assert names[-1] == "crc"
        assert names == [
            name for name in Entry.__struct_fields__ if name in names
        ]  # each once, in their order, all known
        assert "change" not in names
        values = dict(pairs)
        assert (values["seq"], values["at"]) == (str(number), AT)
        assert values["kind"] in parcels.KINDS
        if mark:
            assert values["call"][10:18] == mark
            assert len(values["call"]) == 26


def body(kind: str = "chunk", call: str = MINE, rest: bytes = b"") -> bytes:
    return b'{"kind":"%b","call":"%b"%b}' % (kind.encode(), call.encode(), rest)


REFUSED = {
    "an administrator's": body("admin", "", b',"change":{"what":"hold"}'),
    "an administrator's with a call": body("admin", MINE),
    "an approver's": body("answered"),
    "of no kind": body("king"),
    "another's call": body("chunk", OTHERS),
    "no call": body("chunk", ""),
    "a longer call": body("chunk", f"{MINE}0"),
    "the mark elsewhere": body("chunk", f"{MARK}01M80QSVN924QF8B59"),
    "a call with an escape": body("chunk", f"\\u0030{MINE[1:-1]}"),
    "a number": body(rest=b',"seq":7'),
    "a number in front": b'{"seq":7,"kind":"chunk","call":"%b"}' % MINE.encode(),
    "a number behind blanks": body(rest=b' , "seq" : 7'),
    "a number with an escape": body(rest=b',"\\u0073eq":7'),
    "a time": body(rest=b',"at":"2020-01-01T00:00:00.000000Z"'),
    "a crc": body(rest=b',"crc":"00000000"'),
    "a change": body(rest=b',"change":{"segment":1,"format":9}'),
    "another kind behind": body(rest=b',"kind":"allowed"'),
    "another call behind": body(rest=b',"call":"%b"' % OTHERS.encode()),
    "twice the same": body(rest=b',"session":"a","session":"b"'),
    "out of order": body(rest=b',"target":"a","session":"b"'),
    "unknown": body(rest=b',"colour":"red"'),
    "no object": b"[]",
    "nothing": b"",
    "a blank in front": b" " + body(),
}


@pytest.mark.parametrize("line", REFUSED.values(), ids=REFUSED.keys())
def test_a_worker_that_says_this_is_ended(line: bytes) -> None:
    assert both(parcel(body(), line)) == ("forged",)
    assert both(parcel(line)) == ("forged",)


REPLACED = {
    "a newline between tokens": body(rest=b',"args":{"a":\n1}'),
    "a newline in text": body(rest=b',"detail":"a\nb"'),
    "a line of its own": body(rest=b'}\n{"seq":9,"at":"x","kind":"allowed","call":"evil"'),
    "a return": body(rest=b',"args":{"a":\r1}'),
    "a zero": body(rest=b',"detail":"a\0b"'),
    "two objects": body() + body(),
    "a tail": body() + b" ",
    "cut": body()[:-1],
    "an open string": body(rest=b',"detail":"'),
    "an open bracket": body(rest=b',"args":{"a":[1,2'),
    "the wrong bracket": body(rest=b',"args":{"a":[1,2}]'),
    "a comma too many": body(rest=b',"args":[1,]'),
    "no value": body(rest=b',"args":'),
    "a word": body(rest=b',"args":nul'),
    "a number that is none": body(rest=b',"status":01'),
    "a point": body(rest=b',"status":1.'),
    "an exponent": body(rest=b',"status":1e'),
    "infinite": body(rest=b',"status":Infinity'),
    "an escape that is none": body(rest=b',"detail":"\\x41"'),
    "half an escape": body(rest=b',"detail":"\\u12"'),
    "no UTF-8": body(rest=b',"detail":"\xff"'),
    "overlong": body(rest=b',"detail":"\xc0\xaf"'),
    "a surrogate": body(rest=b',"detail":"\xed\xa0\x80"'),
    "cut UTF-8": body(rest=b',"detail":"\xe2\x82"'),
    "beyond Unicode": body(rest=b',"detail":"\xf4\x90\x80\x80"'),
}


@pytest.mark.parametrize("line", REPLACED.values(), ids=REPLACED.keys())
def test_what_is_no_json_is_recorded_as_that(line: bytes) -> None:
    outcome = both(parcel(line, body("arrived")))
    assert_sound(outcome, MARK)
    first, second = [decode_line(one) for one in outcome[1].splitlines()]  # type: ignore[attr-defined]
    assert (first.kind, first.call, first.detail) == (Kind.CHUNK, MINE, parcels.UNREADABLE)
    assert (second.kind, second.call) == (Kind.ARRIVED, MINE)


TAKEN = {
    "plain": body(rest=b',"session":"s","status":200'),
    "blanks": body(rest=b' , "args" : [ 1 , {"a" :\t2 } ] '),
    "wide": body(rest=',"detail":"äöü 漢字 🙂 \u2028"'.encode()),
    "escapes": body(rest=b',"detail":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\\ud83d"'),
    "numbers": body(rest=b',"args":[0,-0,1.5,1e9,-1.25E-7,123456789012345678901234567890]'),
    "deep": body(rest=b',"args":' + b"[" * 5000 + b"]" * 5000),
    "deeper than any stack": body(rest=b',"args":' + b'{"a":[' * 100_000 + b"]}" * 100_000),
    "empty ones": body(rest=b',"args":[{},[],"",[[]],{"":{}}]'),
    "names of ours, further in": body(rest=b',"args":{"seq":1,"crc":"x","kind":"admin","seq":2}'),
    "sixteen and one": body(rest=b',"detail":"' + b"x" * 33 + b'\\n"'),
}


@pytest.mark.parametrize("line", TAKEN.values(), ids=TAKEN.keys())
def test_what_is_json_is_written_as_it_came(line: bytes) -> None:
    outcome = both(parcel(line))
    stamped = b'{"seq":42,"at":"%b",%b' % (AT.encode(), line[1:-1])
    assert outcome[1] == b'%b,"crc":"%08x"}\n' % (stamped, crc32(stamped))


@pytest.mark.parametrize("text", ["x", "\\n", "ä", "🙂", "\\u0041"])
def test_every_length_of_a_string_and_every_place_of_what_is_odd(text: str) -> None:
    for size in range(40):
        for place in range(size + 1):
            line = body(rest=b',"detail":"%b%b%b"' % (b"x" * place, text.encode(), b"y" * (size - place)))
            outcome = both(parcel(line))
            assert decode_line(outcome[1]).detail is not None  # type: ignore[arg-type]
            assert outcome != ("forged",)
            assert parcels.UNREADABLE.encode() not in outcome[1]  # type: ignore[operator]


def test_every_cut_of_a_parcel_is_refused_or_sound() -> None:
    payload = parcel(TAKEN["plain"], TAKEN["wide"], body("arrived"), body("ended"))
    for end in range(len(payload)):
        outcome = both(payload[:end])
        assert outcome == ("forged",) or end in (HEAD.size, HEAD.size + GROUP.size) or outcome[1] == b""
        assert_sound(outcome, MARK)


@pytest.mark.parametrize("size", [0, 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_sizes_and_counts_that_lie(size: int) -> None:
    line = body()
    head = HEAD.pack(1, True)
    assert both(head + GROUP.pack(True, 1) + SIZE.pack(size) + line) == ("forged",)
    if size != 1:
        lied = both(head + GROUP.pack(True, size) + SIZE.pack(len(line)) + line)
        assert lied == ("forged",)
    assert both(head + GROUP.pack(True, 0xFFFFFFFF)) == ("forged",)


def test_a_parcel_of_next_to_nothing_by_the_million() -> None:
    assert both(parcel(*[body()] * parcels.MOST_LINES)) != ("forged",)
    assert both(parcel(*[body()] * (parcels.MOST_LINES + 1))) == ("forged",)
    assert both(HEAD.pack(1, True) + GROUP.pack(True, 0)) == (41, b"", [], ["local"], [])
    assert both(HEAD.pack(1, True) + GROUP.pack(True, 0) * 2) == ("forged",)


def test_calls_that_begin_and_end() -> None:
    outcome = both(parcel(body("arrived"), body("allowed"), body("ended"), body("ended"), body("chunk")))
    assert outcome[0] == 45
    assert outcome[2:] == ([], ["local"], [3])
    assert both(parcel(body("ended")), open_=(MINE,))[2:] == ([], ["local"], [])
    assert both(parcel(body("asked")))[2:] == ([MINE], [MINE, "local"], [])


def test_the_end_of_a_call_that_is_not_its_own_is_left_out() -> None:
    """Without a mark: `local` is open, but another's."""
    assert both(parcel(body("ended", "local")), mark="") == (41, b"", [], ["local"], [0])


SAMPLES = [*REFUSED.values(), *REPLACED.values(), *(line for line in TAKEN.values() if len(line) < 1000)]
PIECES = st.sampled_from(
    [b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\n", b"\0", b" ", b"\t", b"\xff", b"\xe2\x82\xac", b"1", b"-", b"e",
     b"true", b'"seq":1', b',"crc":"x"', b',"kind":"admin"', b'"change":{}', b"\\u00"]
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A parcel that was sound, or nearly, with bytes of it changed."""
    payload = bytearray(parcel(*draw(st.lists(st.sampled_from(SAMPLES), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(payload)))
        payload[at : at + draw(st.integers(0, 4))] = draw(PIECES | st.binary(max_size=3))
    return bytes(payload)


@st.composite
def rewritten(draw: st.DrawFn) -> bytes:
    """A line that was sound, or nearly, changed, in a parcel whose sizes are right."""
    line = bytearray(draw(st.sampled_from(SAMPLES)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(line)))
        line[at : at + draw(st.integers(0, 4))] = draw(PIECES)
    return parcel(bytes(line), body())


@settings(max_examples=examples(1500), deadline=None)
@given(mutated() | rewritten() | st.binary(max_size=60), st.sampled_from([MARK, ""]))
def test_nothing_that_is_taken_forges(payload: bytes, mark: str) -> None:
    assert_sound(both(payload, mark), mark)


def looked_at(line: bytes, *, compiled: bool) -> bool | None:
    try:
        return bool(native.holds(line) if compiled else parcels._holds(line))
    except Forged:
        return None


NAMED = st.lists(
    st.sampled_from([*parcels.NAMES, b"seq", b"crc", b"", b"x", b"kin", b"kinds", b"\\u006bind"]), max_size=4
)


@pytest.mark.skipif(native is None, reason="no compiled half here")
@settings(max_examples=examples(1000), deadline=None)
@given(
    rewritten().map(lambda payload: parcels.groups_of(payload)[0].lines[0])
    | NAMED.map(lambda names: b"{%b}" % b",".join(b'"%b":[{}, 1 ]' % name for name in names))
)
def test_what_is_left_to_python_is_looked_at_alike(line: bytes) -> None:
    assert looked_at(line, compiled=True) is looked_at(line, compiled=False)


@pytest.mark.skipif(native is None, reason="no compiled half here")
@pytest.mark.parametrize(
    "args", [b"[" * 500_000 + b"]" * 500_000, b"[" * 1_000_000, b"[" + b"1," * 500_000], ids=["deep", "open", "long"]
)
def test_megabytes_that_are_not_plain_are_not_read_in_python(args: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parcels, "_holds", None)
    monkeypatch.setattr(parcels, "_json_end", None)
    payload = parcel(body(rest=b',"args":' + args), body("arrived"))
    assert (
        parcels.stamp_judged(bytearray(), parcels.judged(payload, MARK, native.holds), 41, AT, set(), set(), []) == 43
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=examples(500), deadline=None)
@given(JSON, st.text(max_size=30), st.integers(0, 1 << 62), st.booleans(), st.sampled_from(sorted(parcels.KINDS)))
def test_all_that_a_worker_of_ours_sends_comes_back(args: Any, text: str, status: int, ascii_: bool, kind: str) -> None:
    encoded = json.dumps(args, ensure_ascii=ascii_).encode("utf-8", "backslashreplace")
    entry = Entry(
        kind=Kind(kind), call=MINE, session=text.encode("utf-8", "replace").decode(), principal=Who("i", "s", ("g",)),
        args=Raw(encoded), policy=Decided((text.encode("utf-8", "replace").decode(),), "v"), status=status,
        outcome=Outcome.COMPLETE, body=text.encode("utf-8", "replace").decode(), masked={"a": 1}, fields=(("a", "b"),),
    )  # fmt: skip
    packed = bytearray(HEAD.pack(1, True))
    lines.pack_lines(packed, (entry,), True)
    outcome = both(bytes(packed), open_=(MINE,))
    assert outcome != ("forged",)
    entry.seq, entry.at = 42, AT
    buffer = bytearray()
    lines.add_lines(buffer, (entry,), 41, AT)
    assert outcome[1] == bytes(buffer)  # byte for byte what the journal itself writes
    (again,) = parcels.entries_of(parcels.groups_of(bytes(packed))[0].lines)
    entry.seq, entry.at = 0, ""
    assert msgspec.json.encode(again) == msgspec.json.encode(entry)


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(st.builds(Entry, kind=st.sampled_from(Kind), call=st.text(max_size=4), detail=st.text(max_size=9),
                          args=st.none() | st.sampled_from([Raw(b"{}"), Raw(b"{\n}"), Raw(b"\xff\n"), Raw(b"x" * 99_000)]),
                          status=st.integers(0, 1 << 70))))  # fmt: skip
def test_packed_alike(entries: list[Entry]) -> None:
    pure, compiled = bytearray(b"x"), bytearray(b"x")
    lines._pack_lines(pure, tuple(entries), bool(entries))
    lines.pack_lines(compiled, tuple(entries), bool(entries))
    assert compiled == pure


ALIKE = (
    b'{"command":"SELECT","verbs":["sel\\"ect",{"a":[1,-2.5e3,{}]}],"deep":{"er":[true,null]},'
    b'"sql":"SELECT 1, \xc3\xa4","p":[]}'
)
ODD = [
    b"",
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\n",
    b" ",
    b"1",
    b"x",
    b"\xff",
    b',"x":1',
    b'"},"seq":1,"args":{"',
]


def test_what_begins_like_the_line_before_is_looked_at_from_where_it_does_not() -> None:
    """Every place of a change: what is known of the line before never covers more than what is the same."""

    def line(value: bytes) -> bytes:
        return body(rest=b',"args":' + value)

    for at in range(len(ALIKE)):
        for odd in ODD:
            for gone in (0, 1):
                changed = ALIKE[:at] + odd + ALIKE[at + gone :]
                assert_sound(both(parcel(line(ALIKE), line(changed), line(ALIKE), line(changed[: at + 20]))), MARK)


@settings(max_examples=140, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, len(ALIKE)), st.integers(0, 3), st.sampled_from(ODD), st.integers(0, 120)),
        min_size=1, max_size=6,
    ),
    st.sampled_from([1, 15, 18]),
)  # fmt: skip
def test_lines_that_have_much_in_common(changes: list[tuple[int, int, bytes, int]], members: int) -> None:
    """Values of up to some thousand bytes, each made from the one before, in one parcel and in several."""
    value = b"{" + b",".join(b'"%d":%b' % (number, ALIKE) for number in range(members)) + b"}"
    made = [body(rest=b',"args":' + value)]
    for at, gone, odd, place in changes:
        begin = min(place * len(value) // 120 + at, len(value))
        value = value[:begin] + odd + value[begin + gone :]
        made.append(body(rest=b',"args":' + value))
    assert_sound(both(parcel(*made)), MARK)
    for one in reversed(made):
        assert_sound(both(parcel(one)), MARK)


def test_names_with_a_mark() -> None:
    for names in [ids._Names(), *([half("funcgate.core._native").Names()] if half("funcgate.core._native") else [])]:
        assert len({names.next(1_700_000_000_000 + at) for at in range(3000)}) == 3000
        names.mark(MARK)
        made = [names.next(1_700_000_000_000 + at) for at in range(3000)]
        assert {name[ids.MARK_AT : ids.MARK_AT + ids.MARK_LETTERS] for name in made} == {MARK}
        assert len(set(made)) == 3000
        assert {len(name) for name in made} == {26}
    assert len({ids.new_mark() for _ in range(100)}) == 100
    for no in ("", "ABC", "abcdefgh", "ABCDEFG\\"):
        with pytest.raises(ValueError, match="no mark"):
            ids.mark(no)
