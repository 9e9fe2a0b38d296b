"""Microsoft Teams, both ways, through a real gateway: what members see, and whose presses count."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwk

from support.authority import Authority
from support.channels import CHANGES, FUNCTIONS, PEOPLE, Room, secret
from support.gate import Gate, settings, until
from support.target import Target
from support.teams import APP_ID, CONVERSATION, PASSWORD, TENANT, Teams, buttons, new_key, published, read
from support.web import Give

MESSAGE = "application/vnd.microsoft.activity.message"


def spec(folder: Path, teams: Teams) -> dict[str, Any]:
    return {
        "name": "ms", "type": "teams", "app_id": APP_ID, "password": secret(folder, "password", PASSWORD),
        "tenant": TENANT, "conversation": CONVERSATION, "people": PEOPLE, "service_url": f"{teams.url}/teams/",
        "login_url": f"{teams.url}/login/", "keys_url": f"{teams.url}/keys",
    }  # fmt: skip


@pytest.fixture(scope="module")
def teams() -> Iterator[Teams]:
    running = Teams()
    running.start()
    yield running
    running.stop()
    assert running.wrong == []


@pytest.fixture(scope="module")
def running(
    authority: Authority, shared_target: Target, teams: Teams, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gate]:
    folder = tmp_path_factory.mktemp("teams")
    whole = settings(authority, shared_target.url, FUNCTIONS, channels=[spec(folder, teams)], **CHANGES)
    gate = Gate(folder, whole).start()
    yield gate
    assert gate.stop() == 0
    for value in (PASSWORD, "-canary"):
        assert value not in gate.log.read_text()


@pytest.fixture
def room(running: Gate, authority: Authority, target: Target) -> Room:
    return Room(running, authority, target)


def shown(teams: Teams, amount: int) -> dict[str, Any]:
    """The newest card about a call with that amount."""
    return teams.cards[until(lambda: teams.about(f"amount = {amount}\n"))]


def press(
    room: Room, teams: Teams, user: str, verb: str, approval: str, token: str | None = None, **changes: Any
) -> Any:
    activity = teams.activity(user, {"funcgate": verb, "approval": approval}, **changes)
    return teams.send(room.channel("ms"), activity, token)


def test_an_approver_presses_and_the_held_call_runs(room: Room, teams: Teams) -> None:
    note = "1 \u202e000\u202c\n**bold** [a](https://evil.example) {{DATE(2017-02-14T06:00:00Z)}} bob@example.com"
    caller = room.calling(amount=700, note=note, extra={"of": ["5", 5]})
    card = shown(teams, 700)
    for told in (
        "agent-7 wants to call shop.order\n",
        "Who: agent-7 (corp)\n",
        "Needs: 1 of group:finance\n",
        'note = "1 ⟨U+202E⟩000⟨U+202C⟩\\n**bold** [a](https://evil.example) {{DATE(2017-02-14T06:00:00Z)}}',
        'extra = {"of":["5",5]}\n',
        "Some values are masked",
        "waiting\n",
    ):
        assert told in read(card), read(card)
    assert "bob@example.com" not in json.dumps(card)
    data = buttons(card)["approve"]
    said = teams.send(room.channel("ms"), teams.activity("U-BOB", data))
    assert (said.status_code, said.json()["statusCode"]) == (200, 200)
    assert said.json()["type"] == "application/vnd.microsoft.card.adaptive"
    assert "approved by bob" in read(said.json()["value"])
    assert said.json()["value"]["actions"] == []
    assert caller.result(30).status_code == 200
    assert room.ran() == 1
    until(lambda: "ran as" in read(shown(teams, 700)))
    assert shown(teams, 700)["actions"] == []
    assert (teams.posts, len(teams.tokens)) == (1, 1)


def test_an_older_client_submits_and_rejects(room: Room, teams: Teams) -> None:
    caller = room.calling(amount=701)
    data = buttons(shown(teams, 701))["reject"]
    activity = teams.activity("U-CAROL", data, type="message", value=data, text="")
    del activity["name"]
    assert teams.send(room.channel("ms"), activity).json() == {}
    assert caller.result(30).json()["code"] == "approval.rejected"
    until(lambda: "rejected by carol" in read(shown(teams, 701)))


@pytest.mark.parametrize(
    ("how", "why", "status"),
    [
        ({"user": "U-NOBODY"}, "the channel's user is not mapped to anybody", 401),
        ({"user": ""}, "the channel's user is not mapped to anybody", 401),
        ({"user": "U-EVE"}, "this person is not among the approvers of this call", 200),
        ({"user": "U-AGENT"}, "nobody answers for their own call, or for that of whoever acts for them", 200),
        ({"approval": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}, "there is no such approval", 200),
        ({"verb": "yes"}, "the card's data is no answer", 401),
        ({"conversation": {"id": "19:other@thread.tacv2"}}, "the answer is from another conversation", 401),
        ({"serviceUrl": "https://evil.example/"}, "the token is for another service or channel", 401),
        ({"channelId": "webchat"}, "the token is for another service or channel", 401),
        ({"id": ""}, "the activity has no id", 401),
        ({"value": {"action": {"data": "approve"}}}, "the card's data cannot be read", 401),
        ({"value": []}, "the card's data cannot be read", 401),
    ],
)
def test_answers_that_do_not_count(room: Room, teams: Teams, how: dict[str, Any], why: str, status: int) -> None:
    approval = room.held(amount=710)
    plain = {"user": "U-BOB", "verb": "approve", "approval": approval}
    said, entry = room.refusing(lambda: press(room, teams, **(plain | how)))
    assert (said.status_code, entry["detail"]) == (status, why)
    if status == 200:
        assert (said.json()["type"], said.json()["statusCode"]) == (MESSAGE, 200)
    assert room.state(approval) == "pending"


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"aud": "another-bot"}, "the token is for another bot"),
        ({"aud": [APP_ID, "another-bot"]}, "the token is for another bot"),
        ({"iss": "https://sts.windows.net/x/"}, "the token is of another issuer"),
        ({"exp": None}, "the token has expired, or is not valid yet"),
        ({"exp": 1}, "the token has expired, or is not valid yet"),
        ({"exp": True}, "the token has expired, or is not valid yet"),
        ({"nbf": 9_000_000_000}, "the token has expired, or is not valid yet"),
        ({"serviceurl": "https://smba.example/"}, "the token is for another service or channel"),
        ({"serviceurl": None}, "the token is for another service or channel"),
        ({"header": {"alg": "RS512"}}, "the token is not signed with RS256"),
        ({"header": {"alg": "PS256"}}, "the token is not signed with RS256"),
    ],
)
def test_tokens_that_are_not_for_this_bot(room: Room, teams: Teams, claims: dict[str, Any], why: str) -> None:
    approval = room.held(amount=711)
    said, entry = room.refusing(lambda: press(room, teams, "U-BOB", "approve", approval, teams.token(**claims)))
    assert (said.status_code, said.json()["detail"]) == (401, "This is not accepted.")
    assert entry["detail"] == why


def test_tokens_that_are_not_the_connectors(room: Room, teams: Teams) -> None:
    approval = room.held(amount=712)
    good = teams.token()
    head, payload, signature = good.split(".")
    none = jwk.OctKey.generate_key(256).as_dict()["k"]
    forged = {
        "": "there is no token of the Bot Framework's form",
        f"{head}.{payload}.": "there is no token of the Bot Framework's form",
        "x" * 20000: "there is no token of the Bot Framework's form",
        f"e30.{payload}.{signature}": "the token is not signed with RS256",
        f"eyJhbGciOiJub25lIn0.{payload}.{signature}": "the token is not signed with RS256",
        f"{head}.{payload}.{none}": "the token is not signed by the Bot Framework",
        f"{head}.{payload[:-3]}AAA.{signature}": "the token is not signed by the Bot Framework",
        f"%%%.{payload}.{signature}": "there is no token of the Bot Framework's form",
        f"abcde.{payload}.{signature}": "the token's header cannot be read",
        teams.token(new_key("k1")): "the token is not signed by the Bot Framework",
        teams.token(header={"kid": ""}): "the token does not name its key",
    }
    for token, why in forged.items():
        said, entry = room.refusing(lambda: press(room, teams, "U-BOB", "approve", approval, token))  # noqa: B023
        assert (said.status_code, entry["detail"]) == (401, why), token
    assert room.state(approval) == "pending"


def test_an_answer_counts_once_and_not_late(room: Room, teams: Teams) -> None:
    caller = room.calling(amount=720)
    data = buttons(shown(teams, 720))["approve"]
    activity = teams.activity("U-BOB", data)
    assert teams.send(room.channel("ms"), activity).status_code == 200
    assert caller.result(30).status_code == 200
    said, entry = room.refusing(lambda: teams.send(room.channel("ms"), activity))
    assert (said.status_code, entry["detail"]) == (401, "the message was seen before")
    said, _ = room.refusing(lambda: teams.send(room.channel("ms"), teams.activity("U-CAROL", data)))
    assert said.json() == {"statusCode": 200, "type": MESSAGE, "value": "The approval is used already."}
    late = room.held("quick", amount=721)
    until(lambda: "expired" in read(shown(teams, 721)))
    said, _ = room.refusing(lambda: press(room, teams, "U-BOB", "approve", late))
    assert said.json()["value"] == "The approval is expired already."
    assert room.ran("quick") == 0


def test_garbage_and_other_activities(room: Room, teams: Teams) -> None:
    for body in (b"", b"[]", b"\xff", b"{}", b'{"type": 5}', b"[" * 5000):
        said, entry = room.refusing(lambda: teams.send(room.channel("ms"), body))  # noqa: B023
        assert (said.status_code, entry["detail"]) == (401, "the message is no activity that can be read")
    before = len(room.refusals())
    for changes in ({"type": "conversationUpdate"}, {"type": "message", "value": None}, {"name": "signin/verifyState"}):
        assert teams.send(room.channel("ms"), teams.activity("U-BOB", {}, **changes)).status_code == 200
    assert len(room.refusals()) == before
    said, _ = room.refusing(lambda: press(room, teams, "U-BOB", "approve", "x" * 300_000))
    assert said.status_code == 413


@pytest.mark.parametrize(
    "args",
    [
        {"note": "x" * 9500 + "PAY-ALL"},
        {"extra": {f"k{number}": "" for number in range(3000)}},
        {"note": "{{DATE(" * 1200},
        {"note": "😀" * 12000},
    ],
)
def test_what_is_not_shown_whole_cannot_be_approved_there(room: Room, teams: Teams, args: dict[str, Any]) -> None:
    before = teams.posts
    approval = room.held(amount=730, **args)
    until(lambda: teams.posts > before)
    card = list(teams.cards.values())[-1]
    assert f"characters are not shown. Answer where all of it can be seen: {approval}" in read(card)
    assert set(buttons(card)) == {"reject"}


@pytest.mark.slow
def test_what_microsoft_refuses_is_told_in_the_end(room: Room, teams: Teams) -> None:
    """The bot's own token is not accepted any more; a pause is asked for; somebody deletes the message."""
    posts = teams.posts
    teams.tokens.append("revoked the others")
    teams.failing += [Give(429, {"error": {"code": "Throttled"}}, {"Retry-After": "1"})]
    caller = room.calling(amount=740)
    card = shown(teams, 740)
    del teams.cards[teams.about("amount = 740\n")]
    teams.send(room.channel("ms"), teams.activity("U-BOB", buttons(card)["approve"]))
    assert caller.result(30).status_code == 200
    until(lambda: "ran as" in read(shown(teams, 740)))
    assert teams.posts == posts + 2
    problems = {each["problem"] for each in room.gate.logged("approvers cannot be told")}
    assert problems & {"Teams answered 429 Throttled", "Teams answered 401 Unauthorized"}


@pytest.mark.slow
def test_restarted_while_microsoft_is_away_and_its_keys_have_changed(
    make_gate: Callable[..., Gate], authority: Authority, target: Target, tmp_path: Path
) -> None:
    teams = Teams()
    teams.start()
    gate = make_gate(FUNCTIONS, channels=[spec(tmp_path, teams)], **CHANGES).start()
    room = Room(gate, authority, target)
    teams.stop()
    approval = room.held(amount=750)
    until(lambda: gate.logged("approvers cannot be told"))
    gate.kill()
    gate.start()
    teams.key, stranger = new_key("k2"), new_key("k3")
    teams.published = [published(teams.key), published(stranger, ("webchat",)), {"kty": "EC"}, "x", {"kty": "RSA"}]
    teams.start()
    card = shown(teams, 750)
    assert buttons(card)["approve"]["approval"] == approval
    caller = room.calling(amount=750)
    _, entry = room.refusing(lambda: press(room, teams, "U-BOB", "approve", approval, teams.token(stranger)))
    assert entry["detail"] == "the token's key is not endorsed for msteams"
    for number in range(5):
        token = teams.token(new_key(f"unknown-{number}"))
        _, entry = room.refusing(lambda: press(room, teams, "U-BOB", "approve", approval, token))  # noqa: B023
        assert entry["detail"].startswith("the token's key is not one of the Bot Framework's")
    assert teams.keys_read == 1
    assert press(room, teams, "U-BOB", "approve", approval).status_code == 200
    assert caller.result(30).status_code == 200
    assert (teams.posts, teams.wrong) == (1, [])
    teams.stop()
