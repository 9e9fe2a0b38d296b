"""Slack, both ways, through a real gateway: what its members see, and whose presses count."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support import slack as slack_api
from support.authority import Authority
from support.channels import CHANGES, FUNCTIONS, PEOPLE, Room, secret
from support.gate import Gate, settings, until
from support.slack import CHANNEL, SIGNING_SECRET, TOKEN, Slack
from support.target import Target
from support.web import Give

APPROVE, REJECT = "funcgate_approve", "funcgate_reject"


def spec(folder: Path, slack: Slack) -> dict[str, Any]:
    return {
        "name": "ops", "type": "slack", "channel": CHANNEL, "people": PEOPLE, "url": f"{slack.url}/api/",
        "token": secret(folder, "token", TOKEN), "signing_secret": secret(folder, "signing", SIGNING_SECRET),
    }  # fmt: skip


@pytest.fixture(scope="module")
def slack() -> Iterator[Slack]:
    running = Slack()
    # Messages of earlier tests may be updated meanwhile.
    running.fails = lambda got: got.path.endswith("chat.postMessage")
    running.start()
    yield running
    running.stop()
    assert running.wrong == []


@pytest.fixture(scope="module")
def running(
    authority: Authority, shared_target: Target, slack: Slack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gate]:
    folder = tmp_path_factory.mktemp("slack")
    whole = settings(authority, shared_target.url, FUNCTIONS, channels=[spec(folder, slack)], **CHANGES)
    gate = Gate(folder, whole).start()
    yield gate
    assert gate.stop() == 0
    for value in (TOKEN, SIGNING_SECRET):
        assert value not in gate.log.read_text()


@pytest.fixture
def room(running: Gate, authority: Authority, target: Target) -> Room:
    return Room(running, authority, target)


def about(slack: Slack, amount: int) -> str:
    """The newest message about a call with that amount."""
    return until(
        lambda: next((one for one in reversed(slack.messages) if f"amount = {amount}\n" in f"{slack.text(one)}\n"), "")
    )


def waiting(slack: Slack, amount: int) -> tuple[str, str]:
    """The message about a call, and its approval."""
    stamp = about(slack, amount)
    return stamp, slack.buttons(stamp)[REJECT]


def press(room: Room, slack: Slack, user: str, action: str, value: str, **signing: Any) -> Any:
    return slack_api.send(room.channel("ops"), slack.pressed(user, action, value), **signing)


def test_an_approver_presses_and_the_held_call_runs(room: Room, slack: Slack) -> None:
    before = set(slack.messages)
    note = "to DE12 \u202e000\u202c1\u200b\n<!channel> *bold* bob@example.com"
    caller = room.calling(note=note, extra={"of": ["5", 5]})
    stamp = until(lambda: next(iter(set(slack.messages) - before), None))
    shown = slack.text(stamp)
    for told in (
        "agent-7 wants to call shop.order",
        "Who: agent-7 (corp)",
        "Needs: 1 of group:finance",
        "amount = 250",
        'extra = {"of":["5",5]}',
        "⟨U+202E⟩000⟨U+202C⟩1⟨U+200B⟩\\n<!channel> *bold*",
        "Some values are masked",
        "waiting",
    ):
        assert told in shown, shown
    assert "bob@example.com" not in str(slack.messages[stamp])
    assert all(
        block["text"] == {"type": "plain_text", "text": block["text"]["text"], "emoji": False}
        for block in slack.messages[stamp]["blocks"]
        if block["type"] != "actions"
    )
    assert set(slack.buttons(stamp)) == {APPROVE, REJECT}
    said = press(room, slack, "U-BOB", APPROVE, slack.buttons(stamp)[APPROVE])
    assert said.status_code == 200
    assert caller.result(30).status_code == 200
    assert room.ran() == 1
    until(lambda: "ran as" in slack.text(stamp))
    assert "approved by bob at" in slack.text(stamp)
    assert slack.buttons(stamp) == {}
    (yes,) = [each for each in room.gate.entries() if each["kind"] == "answered" and each["outcome"] == "yes"][-1:]
    assert (yes["principal"]["subject"], yes["change"]["channel"]) == ("bob", "ops")


def test_a_rejection_is_shown(room: Room, slack: Slack) -> None:
    caller = room.calling(amount=251)
    stamp, approval = waiting(slack, 251)
    assert press(room, slack, "U-CAROL", REJECT, approval).status_code == 200
    assert caller.result(30).json()["code"] == "approval.rejected"
    until(lambda: "rejected by carol" in slack.text(stamp))
    assert (slack.buttons(stamp), room.ran()) == ({}, 0)


def test_two_people_are_two_people(room: Room, slack: Slack) -> None:
    caller = room.calling("both", amount=252)
    stamp, approval = waiting(slack, 252)
    press(room, slack, "U-BOB", APPROVE, approval)
    until(lambda: "approved by bob" in slack.text(stamp))
    said, entry = room.refusing(lambda: press(room, slack, "U-BOB", APPROVE, approval, at=time.time() + 60))
    assert (said.status_code, entry["detail"]) == (200, "this person has answered already")
    assert slack.ephemeral[-1]["text"] == "This person has answered already."
    assert set(slack.ephemeral[-1]) == {"response_type", "replace_original", "text"}
    press(room, slack, "U-CAROL", APPROVE, approval)
    assert caller.result(30).status_code == 200


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"secret": "another"}, "the signature is not Slack's"),
        ({"at": time.time() - 3600}, "Slack's time stamp is missing, too old, or from the future"),
        ({"at": time.time() + 3600}, "Slack's time stamp is missing, too old, or from the future"),
        ({"user": "U-NOBODY"}, "the channel's user is not mapped to anybody"),
        ({"user": "U-EVE"}, "this person is not among the approvers of this call"),
        ({"user": "U-AGENT"}, "nobody answers for their own call, or for that of whoever acts for them"),
        ({"value": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}, "there is no such approval"),
        ({"value": "x" * 1900}, "there is no such approval"),
    ],
)
def test_answers_that_do_not_count(room: Room, slack: Slack, how: dict[str, Any], why: str) -> None:
    approval = room.held(amount=300)
    user, value = how.pop("user", "U-BOB"), how.pop("value", approval)
    _, entry = room.refusing(lambda: press(room, slack, user, APPROVE, value, **how))
    assert entry["detail"] == why
    assert (entry["change"], room.state(approval)) == ({"channel": "ops"}, "pending")


def test_what_is_not_signed_by_slack_learns_nothing(room: Room, slack: Slack) -> None:
    approval = room.held(amount=301)
    body = slack.pressed("U-BOB", APPROVE, approval)
    good = slack_api.signed(body)
    forged: list[tuple[bytes, dict[str, str]]] = [
        (body, {}),
        (body + b"&x=1", good),
        (body, good | {"x-slack-request-timestamp": str(int(good["x-slack-request-timestamp"]) - 1)}),
        (body, good | {"x-slack-signature": good["x-slack-signature"].upper()}),
        (body, good | {"x-slack-signature": ""}),
        (b"\xff\xfe garbage", good),
    ]
    for sent, headers in forged:
        said, entry = room.refusing(lambda: room_post(room, sent, headers))  # noqa: B023
        assert (said.status_code, said.json()["detail"]) == (401, "This is not accepted.")
        assert "approval" not in entry
    assert room.state(approval) == "pending"


def room_post(room: Room, body: bytes, headers: dict[str, str]) -> Any:
    return Slack.post(room.channel("ops"), body, headers)


def test_signed_garbage_and_other_interactions(room: Room, slack: Slack) -> None:
    for body in (b"", b"payload=", b"payload=%7B%7D", b"payload=%5B1%5D", b"\xff", b"payload=" + b"%5B" * 5000):
        said, entry = room.refusing(lambda: slack_api.send(room.channel("ops"), body))  # noqa: B023
        assert (said.status_code, entry["detail"]) == (401, "Slack's message is no answer that can be read")
    before = len(room.refusals())
    other = slack.pressed("U-BOB", "open_docs", "x")
    assert slack_api.send(room.channel("ops"), other).status_code == 200
    closed = slack.pressed("U-BOB", APPROVE, "x", type="view_closed")
    assert slack_api.send(room.channel("ops"), closed).status_code == 200
    assert len(room.refusals()) == before


def test_a_flood_of_forged_answers_is_counted(room: Room, slack: Slack) -> None:
    def recorded() -> tuple[int, int]:
        return len(room.refusals()), sum(each.get("count", 0) for each in room.gate.entries())

    (alone, counted), sent = recorded(), 0
    with httpx.Client() as client:
        while recorded()[1] == counted:
            assert sent < 1200, "none was counted"  # a busy machine does not send more than ten in each second
            for _ in range(60):
                assert client.post(room.channel("ops"), content=b"x").status_code == 401
            sent += 60
            until(lambda: sum(recorded()) == alone + counted + sent)  # noqa: B023
    time.sleep(1.0)  # the next second has room again


def test_too_large_a_body_is_not_read(room: Room, slack: Slack) -> None:
    said, entry = room.refusing(lambda: press(room, slack, "U-BOB", APPROVE, "x" * 300_000))
    assert (said.status_code, entry["detail"]) == (413, "the message cannot be read (413)")


def test_an_answer_counts_once_and_not_late(room: Room, slack: Slack) -> None:
    caller = room.calling(amount=302)
    _, approval = waiting(slack, 302)
    body = slack.pressed("U-BOB", APPROVE, approval)
    headers = slack_api.signed(body)
    assert room_post(room, body, headers).status_code == 200
    assert caller.result(30).status_code == 200
    said, entry = room.refusing(lambda: room_post(room, body, headers))
    assert (said.status_code, entry["detail"], entry["approval"]) == (401, "the message was seen before", approval)
    _, entry = room.refusing(lambda: press(room, slack, "U-CAROL", APPROVE, approval))
    assert entry["approval"] == approval
    assert slack.ephemeral[-1]["text"] == "The approval is used already."
    late = room.held("quick", amount=303)
    until(lambda: room.state(late) == "expired")
    until(lambda: "expired" in slack.text(about(slack, 303)))
    _, entry = room.refusing(lambda: press(room, slack, "U-BOB", APPROVE, late))
    assert slack.ephemeral[-1]["text"] == "The approval is expired already."
    assert room.ran("quick") == 0


@pytest.mark.parametrize(
    "args",
    [
        {"note": "x" * 9500 + "PAY-ALL"},
        {"extra": {f"k{number}": "" for number in range(3000)}},
        {"note": "\u202e" * 4000},
        {"note": "😀" * 12000},
    ],
)
def test_what_is_not_shown_whole_cannot_be_approved_there(room: Room, slack: Slack, args: dict[str, Any]) -> None:
    before = set(slack.messages)
    approval = room.held(amount=400, **args)
    stamp = until(lambda: next(iter(set(slack.messages) - before), None))
    assert "characters are not shown. Answer where all of it can be seen" in slack.text(stamp)
    assert slack.buttons(stamp) == {REJECT: approval}


def test_long_arguments_that_fit_are_whole_and_cannot_look_like_others(room: Room, slack: Slack) -> None:
    before = set(slack.messages)
    note = "a" * 1470 + "   amount = 1" + "b" * 3000
    room.held(amount=401, note=note)
    stamp = until(lambda: next(iter(set(slack.messages) - before), None))
    parts = [block["text"]["text"] for block in slack.messages[stamp]["blocks"] if block["type"] == "section"]
    args = [part for part in parts if part.startswith(("amount", "… "))]
    whole = "".join(part.removeprefix("… ").removesuffix(" …") for part in args)
    assert whole == f'amount = 401\nnote = "{note.replace("   ", " ␠␠")}"'
    assert not any(part.startswith("amount = 1") for part in parts)
    assert set(slack.buttons(stamp)) == {APPROVE, REJECT}


def test_a_deleted_message_is_posted_anew(room: Room, slack: Slack) -> None:
    caller = room.calling(amount=402)
    stamp = about(slack, 402)
    approval = slack.buttons(stamp)[APPROVE]
    del slack.messages[stamp]
    press(room, slack, "U-BOB", APPROVE, approval)
    assert caller.result(30).status_code == 200
    until(lambda: "approved by bob" in slack.text(about(slack, 402)))
    assert about(slack, 402) != stamp


def test_slack_that_fails_is_told_in_the_end_and_holds_up_nobody(room: Room, slack: Slack) -> None:
    posts = slack.posts
    slack.failing += [
        Give(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "1"}),
        Give(500, b"<html>"),
    ]
    first = room.held(amount=500)
    second = room.held(amount=501)
    for approval, amount in ((first, 500), (second, 501)):
        assert slack.buttons(about(slack, amount))[APPROVE] == approval
    assert (slack.posts - posts, slack.failing) == (2, [])
    (trouble, *_) = room.gate.logged("approvers cannot be told")
    assert trouble["channel"] == "ops"
    until(lambda: room.gate.logged("approvers are told again"))


def test_a_message_that_slack_does_not_take_holds_up_no_other(room: Room, slack: Slack) -> None:
    slack.failing += [Give(200, {"ok": False, "error": "invalid_blocks"})]
    room.held(amount=510)
    room.held(amount=511)
    about(slack, 511)
    assert not any("amount = 510" in slack.text(one) for one in slack.messages)
    refused = "Slack refuses chat.postMessage: invalid_blocks"
    until(lambda: refused in [each["problem"] for each in room.gate.logged("approvers cannot be told")])


@pytest.mark.slow
def test_slack_is_down_and_the_gateway_is_restarted_meanwhile(
    make_gate: Callable[..., Gate], authority: Authority, target: Target, tmp_path: Path
) -> None:
    slack = Slack()
    slack.start()
    gate = make_gate(FUNCTIONS, channels=[spec(tmp_path, slack)], **CHANGES).start()
    room = Room(gate, authority, target)
    told = room.held(amount=600)
    stamp = about(slack, 600)
    slack.stop()
    untold = room.held(amount=601)
    until(lambda: gate.logged("approvers cannot be told"))
    gate.kill()
    gate.start()
    caller = room.calling(amount=600)
    slack.start()
    assert slack.buttons(about(slack, 601))[APPROVE] == untold
    assert slack_api.send(room.channel("ops"), slack.pressed("U-BOB", APPROVE, told)).status_code == 200
    assert caller.result(30).status_code == 200
    until(lambda: "ran as" in slack.text(stamp))
    assert (slack.posts, slack.wrong) == (2, [])
    slack.stop()
