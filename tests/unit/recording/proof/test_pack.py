"""Evidence packs that somebody else sends: whatever is in the file, the answer is a verdict or a clear refusal."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from funcgate.core.entry import Decided, Kind
from funcgate.recording.proof.pack import check_pack, encode_pack, make_pack
from support.prover import Prover


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    prover = Prover(tmp_path_factory.mktemp("pack") / "data")
    prover.write(40)
    prover.prove(every=9)
    pack: dict[str, Any] = json.loads(encode_pack(make_pack(prover.data_dir, "call-17")))
    assert check_pack(json.dumps(pack).encode()).sound
    return pack


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_what_is_no_pack(noise: bytes) -> None:
    with pytest.raises(ValueError, match="no evidence pack"):
        check_pack(noise)


@given(st.data())
def test_a_value_that_is_another_makes_it_false(made: dict[str, Any], data: st.DataObject) -> None:
    pack: dict[str, Any] = json.loads(json.dumps(made))
    entry = pack["entries"][0]
    where = data.draw(st.sampled_from(["key", "checkpoint", "call", "line", "index", "path"]))
    text = st.text(max_size=60) | st.sampled_from(["\ud800", "\0", ""])
    if where == "index":
        holder, name, value = entry, "index", data.draw(st.integers(-(1 << 62), 1 << 62))
    elif where == "path":
        holder, name, value = entry, "path", data.draw(st.lists(text, max_size=8))
    elif where == "line":
        holder, name, value = entry, "line", data.draw(text)
    else:
        holder, name, value = pack, where, data.draw(text)
    if holder[name] == value:
        return
    holder[name] = value
    try:
        verdict = check_pack(json.dumps(pack).encode())
    except ValueError as refused:
        told = str(refused)
    else:
        told = "; ".join(verdict.faults)
        assert not verdict.sound
    assert told


def test_nodes_that_are_kept(tmp_path: Path) -> None:
    prover = Prover(tmp_path / "data", segment_bytes=1 << 20)
    prover.write(900)
    prover.prove(every=100)
    blocks = prover.proof / "blocks"
    assert len(blocks.read_bytes()) == 3 * 32
    wanted = make_pack(prover.data_dir, "call-500")
    for spoilt in (bytes(96), bytes(33), b""):
        blocks.write_bytes(spoilt)
        assert make_pack(prover.data_dir, "call-500") == wanted
    blocks.write_bytes(bytes(33))
    prover.write(200)
    prover.prove()
    assert len(blocks.read_bytes()) == 4 * 32
    assert check_pack(encode_pack(make_pack(prover.data_dir, "call-500"))).sound


def test_formats_to_come(made: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="has format 2"):
        check_pack(json.dumps(made | {"funcgate_evidence": 2}).encode())


def test_files_that_are_not_whole(made: dict[str, Any], tmp_path: Path) -> None:
    raw = json.dumps(made).encode()
    for size in range(0, len(raw), 97):
        with pytest.raises(ValueError, match="no evidence pack"):
            check_pack(raw[:size])


def test_an_order_is_no_configuration(tmp_path: Path) -> None:
    """Attack: order something, with a configuration of one's own in it, and show that as the one that decided."""
    prover = Prover(tmp_path / "data")
    text = {"what": "configuration", "new": "v1", "text": "deny: everything"}
    prover.write(1, kind=Kind.ADMIN, change=text)
    prover.write(1, kind=Kind.ADMIN, change={**text, "what": "export", "text": "allow: everything"})
    prover.write(1, policy=Decided(("p",), "v1"))
    prover.prove()
    pack = make_pack(prover.data_dir, "call-0")
    assert check_pack(encode_pack(pack)).configuration == "v1"
    order = next(entry for entry in pack.entries if "allow: everything" in entry.line)
    forged = replace(pack, configuration=order, entries=(pack.entries[-1],))
    assert "is another entry" in check_pack(encode_pack(forged)).faults[0]


def test_what_was_left_out_is_told_where_it_shows(tmp_path: Path) -> None:
    prover = Prover(tmp_path / "data")
    for kind, more in (
        (Kind.ARRIVED, {}),
        (Kind.CHUNK, {"piece": 1, "body_bytes": 5}),
        (Kind.CHUNK, {"piece": 2, "body_bytes": 7}),
        (Kind.ENDED, {"body_bytes": 12}),
    ):
        prover.write(1, kind=kind, code="", **more)
    prover.prove()
    pack = make_pack(prover.data_dir, "call-0")
    whole = [
        entry
        for entry in pack.entries
        if b'"ended"' not in entry.line.encode() or b"unknown" not in entry.line.encode()
    ]
    said = {
        0: "the arrival of the call is not in the pack",
        1: "pieces of the answer are not in the pack",
        2: "7 of the 12 bytes of the answer are in no entry of the pack",
        3: "the end of the call is not in the pack",
    }
    for at, note in said.items():
        left = replace(pack, entries=tuple(entry for place, entry in enumerate(whole) if place != at))
        verdict = check_pack(encode_pack(left))
        assert verdict.sound
        assert note in verdict.notes
    assert check_pack(encode_pack(replace(pack, entries=tuple(whole)))).notes == []


def test_an_answer_that_is_nested_deeply_is_evidence_too(tmp_path: Path) -> None:
    prover = Prover(tmp_path / "data")
    prover.write(1, kind=Kind.CHUNK, code="", body=Raw(b"[" * 990 + b"]" * 990))  # as deep as Python 3.11 wrote
    prover.prove()
    verdict = check_pack(encode_pack(make_pack(prover.data_dir, "call-0")))
    assert verdict.faults == []
