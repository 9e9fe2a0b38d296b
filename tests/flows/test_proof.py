"""The proof of a real gateway's journal: signed while it runs, sound when it stopped, and no start on an older journal."""

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from funcgate.recording.contents import Opener
from funcgate.recording.proof import latest_size
from funcgate.recording.proof.pack import check_pack, encode_pack, make_pack
from funcgate.recording.proof.verify import Verdict, verify
from support.gate import Gate, until
from support.target import Target, answer

BODY = json.dumps({"rows": ["a row that says something"] * 5000}).encode()


@pytest.fixture
def gate(make_gate: Callable[..., Gate], target: Target, tmp_path: Path) -> Gate:
    target.answers["/orders"] = answer(BODY)
    copies = [f"file:{tmp_path}/copies"]
    (tmp_path / "content.key").write_text("ab" * 32)
    (tmp_path / "content.key").chmod(0o600)
    journal = {"sync": "interval", "every": "5ms", "encryption": {"key": f"file:{tmp_path}/content.key"}}
    return make_gate(
        proof={"every": "100ms", "origin": "acme.example/funcgate", "copies": copies}, journal=journal
    ).start()


def order(gate: Gate, token: str) -> str:
    reply = httpx.post(f"{gate.url}/shop/orders", json={"amount": 1}, headers={"Authorization": f"Bearer {token}"})
    assert reply.content == BODY
    return reply.headers["funcgate-call-id"]


def sound(gate: Gate, tmp_path: Path) -> Verdict:
    verdict = verify(gate.data, checkpoints=[tmp_path / "copies"], objects=True)
    assert verdict.faults == []
    assert verdict.sound
    return verdict


def test_from_the_call_to_the_evidence(gate: Gate, token: str, tmp_path: Path) -> None:
    call = order(gate, token)
    last = gate.ended(call)["seq"]
    until(lambda: latest_size(gate.data) >= last and (tmp_path / "copies" / "latest").exists())
    note = (gate.data / "proof" / "checkpoint").read_text().splitlines()
    assert note[0] == "acme.example/funcgate"
    assert note[4] == "sync interval 5ms"
    assert sound(gate, tmp_path).objects == 1  # beside the running gateway
    pack = encode_pack(make_pack(gate.data, call))
    readable = encode_pack(make_pack(gate.data, call, Opener(gate.data, bytes.fromhex("ab" * 32)).reveal))
    order(gate, token)
    assert gate.stop() == 0
    verdict = sound(gate, tmp_path)
    assert verdict.unsigned == 0
    assert verdict.outside > 2
    assert latest_size(gate.data) == verdict.entries == gate.entries()[-1]["seq"]

    shutil.rmtree(gate.data)
    checked = check_pack(pack)
    assert checked.faults == []
    assert all("its key is not in the pack" in note for note in checked.notes)
    assert checked.entries[0].args is None
    assert checked.kinds == ["arrived", "allowed", "chunk", "ended"]
    assert checked.objects == 1
    change = json.loads(json.loads(pack)["configuration"]["line"])["change"]
    assert change["new"] == checked.configuration
    opened = check_pack(readable)
    assert opened.faults == opened.notes == []
    assert bytes(opened.entries[0].args or b"") == b'{"amount":1}'
    assert opened.entries[0].principal is not None
    assert bytes(opened.entries[2].body) == BODY  # type: ignore[arg-type]
    spoilt = json.loads(readable)
    spoilt["keys"] = dict.fromkeys(spoilt["keys"], base64.b64encode(bytes(32)).decode())
    assert "cannot be read with the keys in the pack" in check_pack(json.dumps(spoilt).encode()).faults[0]
    assert change["text"] == gate.file.read_text()


def test_an_older_journal_is_refused(gate: Gate, token: str, tmp_path: Path) -> None:
    order(gate, token)
    assert gate.stop() == 0
    shutil.copytree(gate.data / "journal", tmp_path / "older")
    gate.start()
    last = gate.ended(order(gate, token))["seq"]
    until(lambda: latest_size(gate.data) >= last)  # a keeper that is stopped before it began proves nothing
    assert gate.stop() == 0
    shutil.rmtree(gate.data / "journal")
    shutil.copytree(tmp_path / "older", gate.data / "journal")
    verdict = verify(gate.data)
    assert verdict.first_bad is not None
    assert "it was truncated or rolled back" in verdict.first_bad.text
    with pytest.raises(AssertionError, match="did not start"):
        gate.start()
    assert gate.process is not None
    assert gate.process.returncode == 1
    assert "checkpoint" in gate.log.read_text()


@pytest.mark.slow
def test_killed_again_and_again(gate: Gate, token: str, tmp_path: Path) -> None:
    for _ in range(2):
        for _ in range(3):
            order(gate, token)
        gate.kill()
        gate.start()
    assert gate.stop() == 0
    assert sound(gate, tmp_path).unsigned == 0
