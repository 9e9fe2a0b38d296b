"""Content beside the journal and at rest, through a running gateway: objects, encryption, a wrong key, a full disk."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from funcgate.core.entry import Entry
from funcgate.recording.calls import record_of
from funcgate.recording.contents import ContentStore, KeyStore, Opener, orphans
from funcgate.recording.reader import read_entries
from support.gate import Gate, until
from support.target import Target, answer

KEY, OTHER = bytes(range(32)), b"o" * 32


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "content.key"
    path.write_text(KEY.hex())
    path.chmod(0o600)
    return path


def entries_of(gate: Gate, call: str) -> list[Entry]:
    gate.ended(call)
    return [entry for entry in read_entries(gate.data / "journal") if entry.call == call]


def order(gate: Gate, token: str, **args: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}", "Funcgate-Reason": "a confidential reason"}
    return httpx.post(f"{gate.url}/shop/orders", json={"amount": 1} | args, headers=headers)


def test_large_content_goes_beside_the_journal(make_gate: Callable[..., Gate], target: Target, token: str) -> None:
    body = json.dumps({"rows": ["row"] * 30_000}).encode()
    target.answers["/orders"] = answer(body)
    gate = make_gate(masking=[{"functions": ["shop.*"], "detect": "all"}]).start()
    replies = [order(gate, token, note="n" * 70_000) for _ in range(2)]
    store, opener = ContentStore(gate.data), Opener(gate.data)
    objects = set()
    for reply in replies:
        assert reply.content == body
        entries = entries_of(gate, reply.headers["funcgate-call-id"])
        arrived, chunk = entries[0], entries[2]
        assert (arrived.args, chunk.body) == (None, None)
        assert chunk.body_bytes == len(body)
        objects |= {arrived.args_object, chunk.object}
        record = record_of(map(opener.open, entries))
        assert bytes(record.body) == body  # type: ignore[arg-type]
        assert json.loads(bytes(record.args or b""))["note"] == "n" * 70_000
    assert set(store.digests()) == objects
    assert len(objects) == 2  # the same content twice is one file
    assert list(orphans(gate.data, settled_s=0)) == []
    assert gate.stop() == 0


def test_with_a_key_nothing_confidential_is_readable(
    make_gate: Callable[..., Gate], target: Target, token: str, key_file: Path
) -> None:
    body = json.dumps({"plan nine": ["x" * 100] * 1000}).encode()
    target.answers["/orders"] = answer(body)
    target.answers["/read"] = answer(b'{"short":"plan nine"}')
    gate = make_gate(journal={"encryption": {"key": f"file:{key_file}"}}).start()
    headers = {"Authorization": f"Bearer {token}"}
    calls = [
        order(gate, token, note="plan nine, noted"),
        httpx.get(f"{gate.url}/shop/read", headers=headers),
        httpx.get(f"{gate.url}/shop/nowhere/plan9", headers=headers),
    ]
    assert [reply.status_code for reply in calls] == [200, 200, 403]
    opener = Opener(gate.data, KEY)
    ids = [reply.headers["funcgate-call-id"] for reply in calls]
    large = record_of(map(opener.open, entries_of(gate, ids[0])))
    small = record_of(map(opener.open, entries_of(gate, ids[1])))
    refused = until(lambda: [entry for entry in read_entries(gate.data / "journal") if entry.call == ids[2]])
    assert bytes(large.body) == body  # type: ignore[arg-type]
    assert (bytes(small.body), large.reason) == (b'{"short":"plan nine"}', "a confidential reason")  # type: ignore[arg-type]
    assert large.principal is not None
    assert "plan9" in opener.open(refused[0]).detail
    assert gate.stop() == 0
    for path in filter(Path.is_file, gate.data.rglob("*")):
        for word in (b"plan nine", b"plan9", b"confidential", b'"subject"'):
            assert word not in path.read_bytes(), (path, word)
    targets = {(info.target, info.cls) for info in KeyStore(gate.data).list()}
    assert {("shop", "content"), ("shop", "metadata")} <= targets


@pytest.mark.slow
def test_another_key_is_refused_and_nothing_is_written(
    make_gate: Callable[..., Gate], target: Target, token: str, key_file: Path
) -> None:
    gate = make_gate(journal={"encryption": {"key": f"file:{key_file}"}}).start()
    assert order(gate, token).status_code == 200
    assert gate.stop() == 0
    before = {path: path.read_bytes() for path in (gate.data / "journal").iterdir()}
    key_file.write_text(OTHER.hex())
    with pytest.raises(AssertionError, match=r"journal\.encryption\.key is not the key"):
        gate.start()
    assert "Traceback" not in gate.log.read_text()
    assert {path: path.read_bytes() for path in (gate.data / "journal").iterdir()} == before
    key_file.write_text(KEY.hex())
    gate.start()
    reply = order(gate, token)
    opened = [Opener(gate.data, KEY).look(entry) for entry in entries_of(gate, reply.headers["funcgate-call-id"])]
    assert [one.lost for one in opened] == [()] * 4
    assert gate.stop() == 0


def test_an_answer_that_cannot_be_laid_beside_the_journal_is_not_delivered(
    make_gate: Callable[..., Gate], target: Target, token: str
) -> None:
    target.answers["/orders"] = answer(b"confidential " * 10_000, media="text/plain")
    gate = make_gate().start()
    (gate.data / "objects").write_text("a file where the folder should be")
    reply = order(gate, token)
    assert (reply.status_code, reply.json()["code"]) == (503, "journal.unavailable")
    assert "confidential" not in reply.text
    target.answers["/orders"] = answer()
    assert order(gate, token).status_code == 200  # what is small goes on
    (gate.data / "objects").unlink()
    target.answers["/orders"] = answer(b"confidential " * 10_000, media="text/plain")
    assert order(gate, token).status_code == 200
    call = reply.headers["funcgate-call-id"]
    assert [entry.kind for entry in entries_of(gate, call)] == ["arrived", "allowed", "denied", "ended"]
    assert gate.stop() == 0
