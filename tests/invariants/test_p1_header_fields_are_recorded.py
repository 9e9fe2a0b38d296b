"""P1, the other way round, for what is not the body: nothing that an answer says in its head or its trailers is unrecorded."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from funcgate.recording.calls import CallRecord, record_of
from funcgate.recording.contents import Opener
from funcgate.recording.reader import read_entries
from support.authority import Authority
from support.gate import Gate, settings, until
from support.target import Target, answer, chunked

KEY = "ab" * 32
MAIL = "jane.roe@example.com"
MAILED = f"X-Mail: {MAIL}\r\n".encode()


@pytest.fixture(scope="module", params=["plain", "sealed"])
def recording(
    request: pytest.FixtureRequest,
    authority: Authority,
    shared_target: Target,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Gate]:
    changes: dict[str, Any] = {"masking": [{"functions": ["shop.*"], "detect": "all"}]}
    folder = tmp_path_factory.mktemp("fields")
    if request.param == "sealed":
        (folder / "key").write_text(KEY)
        (folder / "key").chmod(0o600)
        changes["journal"] = {"encryption": {"key": "file:key"}}
    gate = Gate(
        folder, settings(authority, shared_target.url, [{"name": "read", "http": "GET /read"}], **changes)
    ).start()
    yield gate
    assert gate.stop() == 0


def told(gate: Gate, call: str) -> CallRecord:
    sealed = (gate.folder / "key").exists()
    opener = Opener(gate.data, bytes.fromhex(KEY) if sealed else None)
    entries = until(
        lambda: (found := [e for e in read_entries(gate.data / "journal") if e.call == call])[-1].outcome and found
    )
    if sealed:
        assert not any(entry.fields for entry in entries)
    record = record_of([opener.open(entry) for entry in entries])
    opener.close()
    return record


def ask(gate: Gate, token: str) -> tuple[httpx.Response, CallRecord]:
    reply = httpx.get(f"{gate.url}/shop/read", headers={"authorization": f"Bearer {token}"})
    return reply, told(gate, reply.headers["funcgate-call-id"])


@pytest.mark.parametrize("status", [200, 204, 302, 404])
@pytest.mark.parametrize("body", [b"", b'{"ok":true}'], ids=["empty", "body"])
def test_what_an_answer_says_in_its_head(recording: Gate, target: Target, token: str, status: int, body: bytes) -> None:
    said = (
        b"Location: https://files.example/next?cursor=7f3a\r\nX-Data: some\r\nX-Data: more\r\nX-Mail: "
        + MAIL.encode()
        + b"\r\n"
    )
    target.answers["/read"] = answer(b"" if status == 204 else body, status, extra=said)
    reply, record = ask(recording, token)
    assert reply.status_code == record.status == status
    got = [(name.lower(), value) for name, value in record.fields]
    assert ("location", "https://files.example/next?cursor=7f3a") in got
    assert [value for name, value in got if name == "x-data"] == ["some", "more"]
    assert dict(got)["x-mail"] == reply.headers["x-mail"] != MAIL
    assert record.body_cut is False


@pytest.mark.parametrize("pieces", [[], [b'{"ok":', b"true}"]], ids=["empty", "pieces"])
def test_what_a_stream_says_before_and_after(recording: Gate, target: Target, token: str, pieces: list[bytes]) -> None:
    target.answers["/read"] = chunked(pieces, "text/event-stream", b"X-Checksum: 77\r\n" + MAILED)
    _, record = ask(recording, token)
    got = {name.lower(): value for name, value in record.fields}
    assert got["x-checksum"] == "77"
    assert got["x-mail"] != MAIL


def test_an_answer_with_nothing_to_tell_has_no_more_lines_than_before(
    recording: Gate, target: Target, token: str
) -> None:
    target.answers["/read"] = answer(b"", 204)
    _, record = ask(recording, token)
    assert [entry.kind for entry in record.entries] == ["arrived", "allowed", "ended"]
    target.answers["/read"] = answer()
    _, record = ask(recording, token)
    assert [entry.kind for entry in record.entries] == ["arrived", "allowed", "chunk", "ended"]
    assert record.fields == ()
