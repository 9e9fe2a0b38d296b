"""Whatever happened: the index and the scan of the journal give the same answers."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from funcgate.core.entry import Decided, Entry, Kind, Who
from funcgate.core.ids import new_id
from funcgate.recording.filters import Filters
from funcgate.recording.reader import read_calls
from support.history import T0, History, written_at

WHO = [
    Who("corp", "ada", ("payments", "eu")), Who("corp", "bob", (), "ada"), Who("lab", "ada", ("eu",)), Who("lab", "é\ud7ff"),
]  # fmt: skip
FUNCTIONS = ["shop.buy", "shop.items.list", "shop", "shopping.buy", "pay.send"]
CODES = ["policy.denied", "policy.error", "identity.missing", "target.timeout"]
POLICIES = [("small",), ("small", "big"), (), ("big",)]
CLIENTS = [
    "10.0.0.1",
    "10.0.0.1:77",
    "10.0.1.9",
    "192.168.7.7",
    "2001:db8::1",
    "2001:db8:1::5",
    "::ffff:10.0.0.1",
    "local",
]
SAID = [
    b'{"note":"Z\\u00fcrich, caf\\u00e9","amount":5}', b'{"to":"c-1001","n":[1,2.5,true]}', b'"just text"', b"[]",
    b'{"path":"a\\nb","deep":{"caf\xc3\xa9":"ZURICH"}}', b'{"amount":50}',
]  # fmt: skip
TEXTS = [
    "plain words of an answer",
    "data:image/png;base64,aGVsbG8=",
    "Caf\u00e9 \\u00e9 under_score",
    "words of plain",
]

ends = st.sampled_from(["complete", "refused", "unknown"])


@st.composite
def one_call(draw: st.DrawFn, number: int) -> list[Entry]:
    """The entries of one call: any beginning, middle and end that the gateway writes, and some that it does not."""
    call = new_id(T0 + number)
    of: dict[str, Any] = {
        "call": call,
        "session": draw(st.sampled_from(["", "s1", "s2"])),
        "function": draw(st.sampled_from(FUNCTIONS)),
    }
    entries: list[Entry] = []
    decided = Decided(draw(st.sampled_from(POLICIES)), "v1")
    shape = draw(st.sampled_from(["done", "done", "held", "denied", "failed", "stranger", "open", "unrecorded"]))
    if shape == "stranger":
        return [
            Entry(kind=Kind.DENIED, call=call, code=draw(st.sampled_from(CODES)), client=draw(st.sampled_from(CLIENTS)))
        ]
    if shape != "unrecorded":
        entries.append(
            Entry(
                kind=Kind.ARRIVED, principal=draw(st.sampled_from(WHO)), target=of["function"].split(".")[0],
                args=msgspec.Raw(draw(st.sampled_from(SAID))), client=draw(st.sampled_from(CLIENTS)), **of,
            )
        )  # fmt: skip
    if shape == "held":
        entries.append(Entry(kind=Kind.ASKED, policy=decided, **of))
        entries.append(Entry(kind=Kind.ANSWERED, principal=draw(st.sampled_from(WHO)), outcome="yes", **of))
    if shape in ("done", "held", "failed"):
        entries.append(Entry(kind=Kind.ALLOWED, policy=Decided(draw(st.sampled_from(POLICIES)), "v2"), **of))
    if shape in ("done", "held"):
        pieces = draw(st.lists(st.sampled_from([*TEXTS, *SAID]), max_size=3))
        for piece, body in enumerate(pieces, 1):
            said = body if isinstance(body, str) else msgspec.Raw(body)
            entries.append(Entry(kind=Kind.CHUNK, body=said, piece=piece if len(pieces) > 1 else 0, **of))
    if shape in ("denied", "failed"):
        entries.append(Entry(kind=Kind.DENIED, code=draw(st.sampled_from(CODES)), **of))
    if shape != "open":
        entries.append(
            Entry(
                kind=Kind.DENIED if shape == "unrecorded" else Kind.ENDED,
                code=draw(st.sampled_from(["", *CODES])),
                outcome=draw(ends),
                **of,
            )
        )
    return entries


@st.composite
def histories(draw: st.DrawFn) -> list[Entry]:
    """Calls whose entries are mixed, each in its own order, with an administrator's entry here and there."""
    calls = [draw(one_call(number)) for number in range(draw(st.integers(1, 12)))]
    mixed: list[Entry] = []
    while calls:
        first = draw(st.integers(0, min(2, len(calls) - 1)))
        mixed.append(calls[first].pop(0))
        if not calls[first]:
            del calls[first]
        if draw(st.integers(0, 9)) == 0:
            mixed.append(Entry(kind=Kind.ADMIN, call="", change={"what": "reload", "who": "root"}))
    return mixed


FILTERS: dict[str, list[str]] = {
    "principal": ["ada", "user:lab/ada", "group:eu", "corp/bob", "nobody", "é\ud7ff"],
    "group": ["eu", "payments"],
    "function": ["shop.*", "shop.buy", "*", "*buy", "shop*", "shop.items.*", "nothing.*"],
    "target": ["shop", "pay", "?"],
    "decision": ["allow", "ask", "deny", "none"],
    "kind": ["asked", "denied", "chunk"],
    "code": ["policy.*", "policy.denied", "*.*", "*"],
    "policy": ["small", "big"],
    "session": ["s1", "s3"],
    "client": ["10.0.0.1", "10.0.0.0/8", "10.0.0.0/31", "10.0.0.0/23", "2001:db8::/32", "local", "192.168.0.0/13"],
    "approver": ["ada", "user:corp/ada", "group:eu"],
    "text": [
        "zurich", "café", '"amount 5"', "amount", "caf*", "plain words",
        '"plain words"', "c-1001", "nbreak", '" "" OR a"', "b NOT c",
    ],
    "since": [written_at(3)],
    "until": [written_at(6)],
}  # fmt: skip
filters = st.dictionaries(st.sampled_from(sorted(FILTERS)), st.integers(0, 99), max_size=3).map(
    lambda chosen: {name: FILTERS[name][number % len(FILTERS[name])] for name, number in chosen.items()}
)


def _in_order(calls: Iterator[Any]) -> list[Any]:
    return sorted(calls, key=lambda record: record.id, reverse=True)


@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    history=histories(),
    asked=st.lists(filters, min_size=1, max_size=6),
    batch=st.sampled_from([1, 2, 3, 7, 1000]),
    secret=st.sampled_from([b"", b"k" * 32]),
)
def test_the_index_and_the_scan_agree(
    history: list[Entry], asked: list[dict[str, str]], batch: int, secret: bytes
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        written = History(Path(folder) / "data")
        for number, entry in enumerate(history):
            written.write([entry], number)
        written.index(batch, secret=secret)
        with written.answers(secret=secret) as answers:
            for chosen in asked:
                if secret and "*" in chosen.get("text", ""):
                    continue
                wanted = Filters(**chosen)
                found = [record for _, record in answers.calls(wanted)]
                expected = _in_order(read_calls(written.journal, wanted))
                assert {record.id for record in found} == {record.id for record in expected}, chosen
                assert msgspec.json.encode(_in_order(iter(found))) == msgspec.json.encode(expected), chosen
