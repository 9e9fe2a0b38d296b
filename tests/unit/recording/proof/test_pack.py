"""Evidence packs that somebody else sends: whatever is in the file, the answer is a verdict or a clear refusal."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
