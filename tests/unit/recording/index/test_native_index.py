"""Compiled and pure: the same calls, rows, words and sets, whatever the lines hold, and the same index down to the bytes."""

import random
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from bench.history import Cast, entries_of
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from funcgate.core.entry import Entry, Kind, Who, encode_line
from funcgate.core.ids import new_id
from funcgate.recording.folder import Line, lines
from funcgate.recording.index import fresh
from funcgate.recording.index.bits import changed
from funcgate.recording.index.gathering import Gathering
from funcgate.recording.index.indexer import Indexer
from funcgate.recording.index.keys import Keys
from funcgate.recording.index.parts import Part
from funcgate.recording.reader import as_it_is
from support.history import T0, History
from support.quick import examples

NATIVE = fresh.NATIVE
pytestmark = pytest.mark.skipif(NATIVE is None, reason="not built, or FUNCGATE_PURE is set")
SECRET = b"s" * 32
TABLES = ("calls", "sets", "names", "admin", "due", "meta", "words_data", "words_idx")
FIELDS = (
    "n",
    "call",
    "seq",
    "function",
    "target",
    "session",
    "client",
    "code",
    "principal",
    "policy",
    "text",
    "places",
)


def kept(journal: Path, path: Path, size: int, secret: bytes) -> dict[str, Any]:
    """Every row of the index's file. Texts as they are read: encryption differs each time."""
    given_lines = list(lines(journal))
    with closing(Indexer(path, secret=secret)) as indexer:
        for at in range(0, len(given_lines), size):
            indexer.add(given_lines[at : at + size])
        found = {name: indexer.db.execute(f"SELECT * FROM {name}").fetchall() for name in TABLES}
        found["texts"] = [(row.n, row.text) for row in indexer.numbered(range(1, indexer.calls + 1))]
    return found


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("secret", [b"", SECRET], ids=["clear", "keyed"])
def test_the_same_index(
    make_history: Callable[[], History], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: bytes, size: int
) -> None:
    history, cast, dice = make_history(), Cast(), random.Random(11)
    waiting: list[list[Entry]] = []
    for number in range(120):
        waiting.append(list(entries_of(cast, number, T0 + number)))
        while len(waiting) > 4:
            one = dice.choice(waiting)
            history.write([one.pop(0)], number)
            waiting = [each for each in waiting if each]
    for number, odd in enumerate(odd_entries(), 200):
        history.write([odd], number)
    compiled = kept(history.journal, tmp_path / "compiled.db", size, secret)
    monkeypatch.setattr(fresh, "NATIVE", None)
    assert kept(history.journal, tmp_path / "pure.db", size, secret) == compiled
    assert len(compiled["calls"]) > 120
    assert len(compiled["words_data"]) > 2


def odd_entries() -> list[Entry]:
    """What the gateway may write, and the quick way need not know."""
    who = Who("corp", "ada", ("ops",), acts_for="bob")
    bodies: list[Any] = [
        None, "plain words", 'a "quoted" text', "data:text/plain;base64,AAAA", "data:no", "grüße", Raw(b'{"a":"\\u00e9\\n"}'),
        Raw(b"[1,2.5e3,true,null]"), Raw(b'"text"'), Raw(b"12"), Raw('{"ß":"ö"}'.encode()), "x" * 70_000, "", Raw(b"{}"),
    ]  # fmt: skip
    found = [Entry(kind=Kind.ADMIN, call="", change={"what": "reload", "by": "ada"})]
    for number, body in enumerate(bodies):
        of: dict[str, Any] = {
            "call": new_id(T0 + 500 + number),
            "function": "shop.buy",
            "session": "grün" if number % 3 else "s",
        }
        args = Raw(b'{"n":%d}' % number) if number % 2 else None
        found.append(Entry(kind=Kind.ARRIVED, principal=who, target="shop", args=args, client="[::1]:5", **of))
        found.append(Entry(kind=Kind.ASKED, **of))
        found.append(Entry(kind=Kind.ANSWERED, principal=who, **of))
        for piece in (1, 2):
            found.append(Entry(kind=Kind.CHUNK, body=body, piece=piece, media="application/x-ndjson", **of))
        found.append(Entry(kind=Kind.ENDED, code="target.timeout", object="sha256:0", where="far", **of))
    return found


class Nobody:
    """No call is in the index."""

    def __call__(self, calls: set[str]) -> dict[str, Any]:
        return {}


def outcome(raws: list[bytes], half: Any, monkeypatch: pytest.MonkeyPatch, *, doubting: bool) -> Any:
    """What becomes of lines, or the kind of error."""
    given_lines = [
        Line(seq, b"", raw, f"{1 + seq // 3:08d}.jsonl", 1 << 7 * (seq % 9)) for seq, raw in enumerate(raws, 1)
    ]
    with monkeypatch.context() as patched:
        patched.setattr(fresh, "NATIVE", half)
        gathering = Gathering(Keys(), Nobody(), as_it_is, text=True)
        try:
            found = gathering.gather(given_lines, 5, doubting=doubting)
        except Exception as error:
            return type(error)
        made = gathering.half
        calls = [
            tuple(getattr(one, name) for name in FIELDS) + tuple((part.packed, part.said) for part in one.parts)
            for one in found.fresh
        ]
        sets = made.extended(found.fresh, lambda keys: {})
        return (
            calls,
            found.admin,
            list(made.rows(found.fresh)),
            list(made.said(found.fresh, None)),
            sets,
            gathering.parts.names,
        )


CAST = Cast()
BASE = [
    encode_line(entry).rstrip(b"\n")
    for entry in [
        *entries_of(CAST, 1, T0), *entries_of(CAST, 2, T0), *odd_entries()[:12],
    ]
]  # fmt: skip
SPLICES = [
    b"", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\x00", b"\n", b" ", b"\xff", "é".encode(), b"0", b"-", b"1e", b"null",
    b"tru", b'"call":"x",', b'"kind":"admin",', b'"kind":"arrived",', b'"sealed":{},', b'"piece":2,', b'"seq":-1,', b'"body":[[[',
    b"\\ud800", b"\\u00e9", b'"where":"w",', b"[" * 70, b'"at":"2026-02-29T00:00:00.000000Z",', b'"args":{"a":"\\q"},',
    b'"code":5,', b'"policy":null,',
]  # fmt: skip


@settings(max_examples=examples(300), deadline=None)
@given(st.integers(0, len(BASE) - 1), st.integers(0, 2000), st.integers(0, 6), st.sampled_from(SPLICES), st.booleans())
@example(0, 1, 0, b'"call":"x",', False)
@example(0, 1, 0, b'"kind":"admin",', False)
def test_the_same_of_lines_that_were_changed(which: int, at: int, cut: int, put: bytes, doubting: bool) -> None:
    raw = BASE[which]
    at %= len(raw) + 1
    given_lines = [*BASE[:which], raw[:at] + put + raw[at + cut :], *BASE[which + 1 :]]
    with pytest.MonkeyPatch.context() as monkeypatch:
        compiled = outcome(given_lines, NATIVE, monkeypatch, doubting=doubting)
        assert compiled == outcome(given_lines, None, monkeypatch, doubting=doubting)


@pytest.mark.parametrize("which", [0, 2])
def test_the_same_at_every_cut(which: int, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = BASE[which]
    for at in range(len(raw)):
        put = [raw[:at] + odd + raw[at:] for odd in (b"\\ud800", b"\\ud83d\\ude00", b"\\q", b"\1", b"\xff", b'"x":1,')]
        for changed_line in (raw[:at], raw[:at] + b'"' + raw[at + 1 :], *put):
            assert outcome([changed_line], NATIVE, monkeypatch, doubting=False) == outcome(
                [changed_line], None, monkeypatch, doubting=False
            )


PIECES = [
    '\\\\', '\\"', "\\/", "\\n", "\\t", "\\b", "\\f", "\\r", "\\u0041", "\\u005c", "\\u00e9",
    "a", "B1", "@[`{/:", " ", "data:", ";base64,",
    "é", "Zebra99", "x" * 40, "".join(chr(number) for number in range(35, 92)), "".join(chr(number) for number in range(93, 127)),
]  # fmt: skip
ESCAPED = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


@settings(max_examples=examples(300), deadline=None)
@given(ESCAPED, ESCAPED, st.sampled_from(["", "text/plain", "application/x-ndjson"]), st.integers(0, 2), st.booleans())
@example("a" * 65_530, "\\n" * 70_000, "application/json", 0, False)
def test_the_same_words_of_escapes(asked: str, told: str, media: str, piece: int, whole: bool) -> None:
    of = '"seq":%d,"at":"","kind":"%s","call":"c"'
    body = f'"{told}"' if whole else f'{{"a":"{told}"}}'
    raws = [
        "{" + of % (1, "arrived") + f',"args":{{"sql":"{asked}"}}}}',
        "{" + of % (2, "chunk") + f',"body":{body},"media":"{media}","piece":{piece}}}',
    ]
    with pytest.MonkeyPatch.context() as monkeypatch:
        given_lines = [raw.encode() for raw in raws]
        compiled = outcome(given_lines, NATIVE, monkeypatch, doubting=False)
        assert compiled == outcome(given_lines, None, monkeypatch, doubting=False)


@pytest.mark.parametrize("count", [14, 15, 16, 17, 40])
@pytest.mark.parametrize("odd", ["chunk", "unheard-of"])
def test_the_same_of_many_lines(count: int, odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = ["arrived", *["chunk"] * (count - 3), odd, "ended"]
    raws = [
        msgspec.json.encode({"seq": seq, "at": "", "kind": kind, "call": "c", "session": "s" * (seq % 3)})
        for seq, kind in enumerate(kinds, 1)
    ]
    assert outcome(raws, NATIVE, monkeypatch, doubting=False) == outcome(raws, None, monkeypatch, doubting=False)


def test_the_same_where_one_value_begins_with_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a principal and a policy that were read before, only the same one is taken for it."""
    who = [
        '{"issuer":"i","subject":"s"}',
        '{"issuer":"i","subject":"s"}}',
        '{"issuer":"i","subject":"s2"}',
        "{}{}",
    ]
    who += [
        who[0],
        '{"issuer":"i","subject":"s"]',
        who[0],
        '{"issuer":"i","subject":1s"}',
        who[0],
    ]  # as long, and no JSON
    raws = [
        f'{{"seq":{seq},"at":"","kind":"arrived","call":"c{seq}","principal":{one},"policy":{{"names":["p"],"version":""}}}}'
        for seq, one in enumerate([*who, *who[::-1], who[0] + ',"principal":' + who[0]], 1)
    ]
    given_lines = [raw.encode() for raw in raws]
    assert outcome(given_lines, NATIVE, monkeypatch, doubting=False) == outcome(
        given_lines, None, monkeypatch, doubting=False
    )


@settings(max_examples=examples(150), deadline=None)
@given(st.datetimes(datetime(1960, 1, 1), datetime(2130, 1, 1)), st.integers(0, 27), st.sampled_from("0159-:.TZ+ x"))
def test_the_same_time(when: datetime, place: int, letter: str) -> None:
    written = when.replace(tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    for at in (written, written[:place] + letter + written[place + 1 :]):
        raw = msgspec.json.encode({"seq": 1, "at": at, "kind": "arrived", "call": "c"})
        with pytest.MonkeyPatch.context() as monkeypatch:
            compiled = outcome([raw], NATIVE, monkeypatch, doubting=False)
            assert compiled == outcome([raw], None, monkeypatch, doubting=False)


KEY = st.integers(1, 16).flatmap(lambda fact: st.integers(fact << 58, (fact << 58) + 40))
HELD = st.one_of(
    st.binary(max_size=9),
    st.sets(st.integers(0, 16383), max_size=300).map(lambda members: changed(b"", members)),
    st.just(b"\xff\xff\x01\x00"),
    st.just(bytes(range(256)) * 2),
    st.just(b"\1" * 2048),
    st.just(b"\1" * 2050),
)


def attempt(made: Any, calls: Any, held: dict[int, bytes]) -> Any:
    try:
        return made.extended(calls, lambda keys: {key: held[key] for key in keys if key in held})
    except Exception as error:
        return type(error)


@settings(max_examples=examples(150), deadline=None)
@given(
    st.dictionaries(KEY, HELD, max_size=8),
    st.integers(1, 16000),
    st.integers(1, 300),
    st.lists(KEY, min_size=1, max_size=6),
)
def test_the_same_sets(held: dict[int, bytes], first: int, count: int, keys: list[int]) -> None:
    found = []
    for half in (NATIVE, fresh):
        seen = msgspec.json.decode(BASE[0], type=fresh.Seen)
        calls = {}
        for number in range(count):
            seen.session = f"s{number}"  # calls that have all in common share their parts
            one = calls[f"c{number}"] = half.Fresh(seen, number)
            one.add(seen, 1, 2, False)
        parts = fresh.Parts(Keys(), half.Part)
        ordered = half.finished(calls, first, parts)
        for one in ordered[:: len(keys)]:
            one.parts.append(half.Part(keys))
        found.append(attempt(half, ordered, held))
    assert found[0] == found[1]


def test_the_same_sets_of_many_keys() -> None:
    found = []
    for half in (NATIVE, fresh):
        seen = msgspec.json.decode(BASE[0], type=fresh.Seen)
        calls = {}
        for number in range(300):
            seen.session = f"s{number}"
            calls[f"c{number}"] = half.Fresh(seen, number)
        ordered = half.finished(calls, 16000, fresh.Parts(Keys(), half.Part))
        for number, one in enumerate(ordered):
            one.parts.append(half.Part([(12 << 58) + number * 37 % 9001 * 1_000_003 + group for group in range(60)]))
        found.append(half.extended(ordered, lambda keys: {}))
    assert found[0] == found[1]
    assert found[0] is not None
    assert len(found[0]) > 10_000


@given(st.lists(KEY, min_size=1, max_size=9))
def test_the_same_part(keys: list[int]) -> None:
    assert NATIVE is not None
    compiled, pure = NATIVE.Part(keys), Part(keys)
    assert (list(compiled.keys), compiled.packed, compiled.said) == (list(pure.keys), pure.packed, pure.said)
