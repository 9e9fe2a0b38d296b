"""A webhook, both ways, through a real gateway: what the receiver is told, and which of its answers count."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support import receiver as standard
from support.authority import Authority
from support.channels import CHANGES, FUNCTIONS, PEOPLE, Room, secret
from support.gate import Gate, settings, until
from support.receiver import SECRET, Receiver
from support.target import Target
from support.web import Give, Web


def spec(folder: Path, receiver: Receiver, name: str = "hook") -> dict[str, Any]:
    url = f"{receiver.url}/approvals?token=canary-in-the-url"
    return {"name": name, "type": "webhook", "url": url, "secret": secret(folder, "key", SECRET), "people": PEOPLE}


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    running.fails = lambda got: got.json()["state"] == "pending"  # not what is told of earlier tests' calls
    running.start()
    yield running
    running.stop()
    assert running.wrong == []


@pytest.fixture(scope="module")
def running(
    authority: Authority, shared_target: Target, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gate]:
    folder = tmp_path_factory.mktemp("webhook")
    whole = settings(authority, shared_target.url, FUNCTIONS, channels=[spec(folder, receiver)], **CHANGES)
    gate = Gate(folder, whole).start()
    yield gate
    assert gate.stop() == 0
    for value in (SECRET, "canary-in-the-url"):
        assert value not in gate.log.read_text()


@pytest.fixture
def room(running: Gate, authority: Authority, target: Target) -> Room:
    return Room(running, authority, target)


def told(receiver: Receiver, approval: str, state: str = "pending") -> dict[str, Any]:
    return until(lambda: receiver.about(approval, state)) or {}


def give(room: Room, approval: str, answer: str = "approve", person: str = "U-BOB", **signing: Any) -> httpx.Response:
    body = {"approval": approval, "answer": answer, "person": person, "reason": "invoice 7"}
    return standard.send(room.channel("hook"), body, **signing)


def test_a_receiver_is_told_answers_and_is_told_again(room: Room, receiver: Receiver) -> None:
    note = "\u202e000 bob@example.com"
    approval = room.held(amount=800, note=note)
    first = told(receiver, approval)
    assert (first["args"]["amount"], first["masked"], first["revision"]) == (800, True, 1)
    assert first["args"]["note"].startswith("\u202e000 ")
    assert "bob@example.com" not in json.dumps(first)
    assert first["facts"]["Needs"] == "1 of group:finance"
    assert first["digest"].startswith("sha256:")
    caller = room.calling(amount=800, note=note)
    said = give(room, approval)
    assert (said.status_code, said.json()) == (200, {"approval": approval, "state": "approved"})
    assert caller.result(30).status_code == 200
    assert "approved by bob" in told(receiver, approval, "used")["outcome"]
    assert (room.ran(), receiver.again) == (1, 0)
    given = [
        each
        for each in room.gate.entries()
        if each.get("approval") == approval and each.get("outcome") in ("yes", "no")
    ]
    (yes,) = [each for each in given if each["kind"] == "answered"]
    assert (yes["outcome"], yes["detail"], yes["principal"]["subject"]) == ("yes", "invoice 7", "bob")


def test_a_long_call_is_told_whole(room: Room, receiver: Receiver) -> None:
    approval = room.held(amount=801, note="x" * 60_000)
    assert told(receiver, approval)["args"]["note"] == "x" * 60_000


@pytest.mark.parametrize(
    ("how", "status", "why"),
    [
        ({"key": b"another key"}, 401, "no signature of the channel's secret"),
        ({"at": time.time() - 3600}, 401, "the signature is too old, or from the future"),
        ({"at": time.time() + 3600}, 401, "the signature is too old, or from the future"),
        ({"person": "U-NOBODY"}, 401, "the channel's user is not mapped to anybody"),
        ({"person": "U-EVE"}, 409, "this person is not among the approvers of this call"),
        ({"person": "U-AGENT"}, 409, "nobody answers for their own call, or for that of whoever acts for them"),
        ({"approval": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}, 409, "there is no such approval"),
        ({"answer": "yes"}, 400, "the signed message is no answer"),
    ],
)
def test_answers_that_do_not_count(room: Room, how: dict[str, Any], status: int, why: str) -> None:
    approval = room.held(amount=810)
    said, entry = room.refusing(lambda: give(room, **({"approval": approval} | how)))
    assert (said.status_code, entry["detail"]) == (status, why)
    assert room.state(approval) == "pending"


def test_what_is_not_signed_learns_nothing(room: Room) -> None:
    approval = room.held(amount=811)
    body = json.dumps({"approval": approval, "answer": "approve", "person": "U-BOB"}).encode()
    stamp = str(int(time.time()))
    good = {"webhook-id": "a", "webhook-timestamp": stamp, "webhook-signature": standard.sign("a", stamp, body)}
    old = standard.sign("a", stamp, body, b"the key before")
    for sent, headers in (
        (body, {}),
        (body + b" ", good),
        (body, good | {"webhook-id": "b"}),
        (body, good | {"webhook-timestamp": f"{stamp}0"}),
        (body, good | {"webhook-signature": good["webhook-signature"].removeprefix("v1,")}),
        (body, good | {"webhook-signature": f"{old} v1a,AAAA"}),
    ):
        said, entry = room.refusing(lambda: Web.post(room.channel("hook"), sent, headers))  # noqa: B023
        assert (said.status_code, said.json()["detail"]) == (401, "This is not accepted.")
        assert "approval" not in entry
    assert room.state(approval) == "pending"
    changing = good | {"webhook-signature": f"{old} {good['webhook-signature']}"}
    assert Web.post(room.channel("hook"), body, changing).json()["state"] == "approved"


def test_what_it_was_told_is_no_answer_when_it_comes_back(room: Room, receiver: Receiver) -> None:
    approval = room.held(amount=812)
    told(receiver, approval)
    mine = next(got for got in receiver.got if got.headers["webhook-id"].startswith(approval))
    said, entry = room.refusing(lambda: Web.post(room.channel("hook"), mine.body, mine.headers))
    assert (said.status_code, entry["detail"]) == (400, "the signed message is no answer")


def test_an_answer_counts_once_and_not_late(room: Room, receiver: Receiver) -> None:
    approval = room.held(amount=820)
    assert give(room, approval, "reject", name="one").json()["state"] == "rejected"
    said, entry = room.refusing(lambda: give(room, approval, "reject", name="one"))
    assert (said.status_code, entry["detail"]) == (401, "the message was seen before")
    said, _ = room.refusing(lambda: give(room, approval, person="U-CAROL"))
    assert (said.status_code, said.json()) == (409, {"error": "The approval is rejected already."})
    late = room.held("quick", amount=821)
    told(receiver, late, "expired")
    said, _ = room.refusing(lambda: give(room, late))
    assert said.json() == {"error": "The approval is expired already."}


def test_garbage(room: Room) -> None:
    for body in (b"", b"[]", b"\xff", b'{"approval": 5}', b"[" * 5000):
        said, _ = room.refusing(lambda: standard.send(room.channel("hook"), body))  # noqa: B023
        assert (said.status_code, "expected a JSON object" in said.json()["error"]) == (400, True)
    said, entry = room.refusing(lambda: standard.send(room.channel("hook"), b"x" * 300_000))
    assert (said.status_code, entry["detail"]) == (413, "the message cannot be read (413)")
    assert Web.post(room.channel("nothing"), b"x", {}).status_code == 404


def test_a_receiver_that_fails_is_told_in_the_end(room: Room, receiver: Receiver) -> None:
    receiver.failing += [Give(503), Give(302, b"", {"Location": "https://evil.example/"})]
    approval = room.held(amount=830)
    told(receiver, approval)
    problems = [each["problem"] for each in room.gate.logged("approvers cannot be told")]
    assert problems[-1].startswith(f"{receiver.url} answered ")
    receiver.failing += [Give(422)]
    refused, other = room.held(amount=831), room.held(amount=832)
    told(receiver, other)
    assert receiver.about(refused, "pending") is None


@pytest.mark.slow
def test_one_dead_channel_holds_up_neither_another_nor_a_call(
    make_gate: Callable[..., Gate], authority: Authority, target: Target, tmp_path: Path
) -> None:
    dead, alive = Receiver(), Receiver()
    alive.start()
    dead.start()
    channels = [spec(tmp_path, dead, "dead"), spec(tmp_path, alive, "hook")]
    gate = make_gate(FUNCTIONS, channels=channels, **CHANGES).start()
    dead.stop()
    room = Room(gate, authority, target)
    approval = room.held(amount=840)
    told(alive, approval)
    until(lambda: gate.logged("approvers cannot be told"))
    caller = room.calling(amount=840)
    assert give(room, approval).status_code == 200
    assert caller.result(30).status_code == 200
    told(alive, approval, "used")
    gate.kill()
    dead.start()
    gate.start()
    assert told(dead, approval, "used")["revision"] == 3
    assert len(dead.told) == 1
    assert alive.again <= 1, "killed between telling and remembering it, it tells again"
    for one in (dead, alive):
        one.stop()
        assert one.wrong == []
