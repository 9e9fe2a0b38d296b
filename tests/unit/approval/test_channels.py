"""Channels by themselves: what takes a day, a service that misbehaves, and ways back that lead elsewhere."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from joserfc import jwk

from funcgate.approval.channels.channel import Forged, Heard, NotTold, Once
from funcgate.approval.channels.slack import SlackChannel
from funcgate.approval.channels.teams import TeamsChannel
from funcgate.approval.spec import PersonSpec, SlackSpec, TeamsSpec
from funcgate.core.secret import Secret
from support import slack as slack_api
from support.approvals import approval, asked
from support.slack import CHANNEL, SIGNING_SECRET, TOKEN, Slack
from support.teams import APP_ID, CONVERSATION, PASSWORD, TENANT, Teams, new_key, published
from support.web import Give

DAY = 86400.0
BOB = [PersonSpec(id="U-BOB", issuer="corp", subject="bob", groups=["finance"])]


@pytest.fixture
def slack() -> Iterator[Slack]:
    running = Slack()
    running.start()
    yield running
    running.stop()


@pytest.fixture
def teams() -> Iterator[Teams]:
    running = Teams()
    running.start()
    yield running
    running.stop()


def slack_channel(slack: Slack, token: str = TOKEN) -> SlackChannel:
    spec = SlackSpec(name="s", token="", signing_secret="", channel=CHANNEL, people=BOB, url=f"{slack.url}/api")
    return SlackChannel(spec, Secret(token), Secret(SIGNING_SECRET))


def teams_channel(teams: Teams) -> TeamsChannel:
    spec = TeamsSpec(
        name="t", app_id=APP_ID, password="", tenant=TENANT, conversation=CONVERSATION, people=BOB,
        service_url=f"{teams.url}/teams", login_url=f"{teams.url}/login", keys_url=f"{teams.url}/keys",
    )  # fmt: skip
    return TeamsChannel(spec, Secret(PASSWORD))


@pytest.mark.parametrize(
    ("give", "text", "alone", "after_s"),
    [
        (Give(200, b"[]"), "Slack refuses chat.postMessage: 200", False, 0),
        (Give(200, b"\xff"), "Slack refuses chat.postMessage: 200", False, 0),
        (Give(200, {"ok": "true"}), "Slack refuses chat.postMessage: 200", False, 0),
        (Give(200, {"ok": False, "error": "x" * 500}), f"Slack refuses chat.postMessage: {'x' * 60}", False, 0),
        (Give(200, {"ok": True}), "Slack's answer to chat.postMessage does not say where the message is", False, 0),
        (Give(200, {"ok": True, "channel": "C", "ts": 5}),
         "Slack's answer to chat.postMessage does not say where the message is", False, 0),
        (Give(503, b"", {"Retry-After": "7"}), "Slack refuses chat.postMessage: 503", False, 7),
        (Give(429, b"", {"Retry-After": "30"}), "Slack asks for a pause", False, 30),
        (Give(429, b"", {"Retry-After": "-1"}), "Slack asks for a pause", False, 0),
        (Give(302, b"", {"Location": "http://127.0.0.1:1/"}), "Slack refuses chat.postMessage: 302", False, 0),
        (Give(200, {"ok": False, "error": "msg_too_long"}), "Slack refuses chat.postMessage: msg_too_long", True, 0),
    ],
)  # fmt: skip
def test_slack_that_does_not_take_a_message(slack: Slack, give: Give, text: str, alone: bool, after_s: float) -> None:
    async def run() -> None:
        channel = slack_channel(slack)
        slack.failing.append(give)
        with pytest.raises(NotTold) as caught:
            await channel.tell(approval(), "")
        assert (str(caught.value), caught.value.alone, caught.value.after_s) == (text, alone, after_s)
        assert len(slack.got) == 1
        assert await channel.tell(approval(), "") == f"{CHANNEL}/1795000000.000001"
        await channel.close()

    asyncio.run(run())


def test_an_answer_without_end_is_not_read_to_its_end(slack: Slack) -> None:
    async def run() -> None:
        channel = slack_channel(slack)
        slack.failing.append(Give(200, b'{"ok":true,"x":"' + b"x" * 10_000_000))
        with pytest.raises(NotTold, match="answers with more than 262144 bytes"):
            await channel.tell(approval(), "")
        slack.stop()
        with pytest.raises(NotTold, match=r"cannot be reached \(ConnectError\)"):
            await channel.tell(approval(), "")
        await channel.close()

    asyncio.run(run())


def test_a_wrong_token_is_told_without_it(slack: Slack) -> None:
    async def run() -> None:
        channel = slack_channel(slack, "xoxb-wrong-canary")
        with pytest.raises(NotTold) as caught:
            await channel.tell(approval(), "")
        assert str(caught.value) == "Slack refuses chat.postMessage: invalid_auth"
        await channel.close()

    asyncio.run(run())


def test_the_notification_is_no_markup(slack: Slack) -> None:
    async def run() -> None:
        who = msgspec.structs.replace(asked().principal, subject="<!channel> & <https://evil.example|you>")
        channel = slack_channel(slack)
        await channel.tell(approval(asked=asked(principal=who)), "")
        (message,) = slack.messages.values()
        assert message["text"].startswith("&lt;!channel&gt; &amp; &lt;https://evil.example|you&gt; wants to call")
        assert (message["parse"], message["link_names"], message["mrkdwn"]) == ("none", False, False)
        assert slack.wrong == []
        await channel.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("back", "reached"),
    [
        ("{slack}/actions/T1/1/x", True),
        ("http://127.0.0.1:{evil}/actions/x", False),
        ("{slack}@127.0.0.1:{evil}/actions/x", False),
        ("https://hooks.slack.com.evil.example/", False),
        ("file:///etc/passwd", False),
        ("http://[", False),
        ("", False),
    ],
)
def test_a_refusal_goes_back_to_slack_only(slack: Slack, back: str, reached: bool) -> None:
    async def run() -> None:
        evil = Slack()
        evil.start()
        channel = slack_channel(slack)
        body = slack.pressed(
            "U-BOB", "funcgate_approve", "x", response_url=back.format(slack=slack.url, evil=evil.port)
        )
        heard = await channel.hear(slack_api.signed(body), body, time.time())
        assert isinstance(heard, Heard)
        assert (await channel.reply(heard, None, "No <b>.")).status == 200
        assert (len(slack.ephemeral), len(evil.got)) == (int(reached), 0)
        if reached:
            assert slack.ephemeral[0]["text"] == "No &lt;b&gt;."
        await channel.close()
        evil.stop()

    asyncio.run(run())


def test_once_forgets_only_what_cannot_be_played_again() -> None:
    once = Once(600, most=3)
    once.check("a", 0)
    once.check("b", 300)
    with pytest.raises(Forged):
        once.check("a", 599)
    once.check("a", 601)
    with pytest.raises(Forged):
        once.check("b", 700)
    for name in ("c", "d", "e", "f"):
        once.check(name, 701)
    assert len(once._seen) == 3


def test_the_bots_own_token_is_kept_until_shortly_before_its_end(teams: Teams) -> None:
    async def run() -> None:
        channel = teams_channel(teams)
        for _ in range(3):
            await channel.tell(approval(), "")
        assert (len(teams.tokens), teams.posts) == (1, 3)
        teams.tokens.append("the one before is revoked")
        with pytest.raises(NotTold, match="Teams answered 401 Unauthorized"):
            await channel.tell(approval(), "")
        teams.lasts_s = 300
        for _ in range(3):
            await channel.tell(approval(), "")
        assert len(teams.tokens) == 5
        await channel.close()
        assert teams.wrong == []

    asyncio.run(run())


@pytest.mark.parametrize(
    ("give", "text", "alone"),
    [
        (
            Give(400, {"error": "invalid_client", "error_description": PASSWORD}),
            "gives no token: invalid_client",
            False,
        ),
        (Give(200, {"access_token": 5, "expires_in": 1}), "gives no token: 200", False),
        (Give(200, b""), "gives no token: 200", False),
    ],
)
def test_a_login_that_fails_is_told_without_the_password(teams: Teams, give: Give, text: str, alone: bool) -> None:
    async def run() -> None:
        channel = teams_channel(teams)
        teams.failing.append(give)
        with pytest.raises(NotTold) as caught:
            await channel.tell(approval(), "")
        assert (str(caught.value), caught.value.alone) == (f"{teams.url} {text}", alone)
        await channel.close()

    asyncio.run(run())


def test_the_connectors_keys_are_read_again_after_a_day_and_kept_for_three(teams: Teams) -> None:
    async def run() -> None:
        channel, began = teams_channel(teams), time.time()

        async def press(at: float, **how: Any) -> None:
            token = teams.token(exp=int(at) + 600, nbf=int(at), **how)
            body = json.dumps(teams.activity("U-BOB", {"funcgate": "approve", "approval": "x"})).encode()
            assert isinstance(await channel.hear({"authorization": f"Bearer {token}"}, body, at), Heard)

        await press(began)
        await press(began + DAY - 1)
        assert teams.keys_read == 1
        await press(began + DAY + 1)
        assert teams.keys_read == 2
        teams.stop()
        await press(began + 3 * DAY)
        with pytest.raises(Forged, match="cannot be read now"):
            await press(began + 4 * DAY + 2)
        teams.key = new_key("k2")
        teams.published = [published(teams.key)]
        teams.start()
        with pytest.raises(Forged, match="not one of the Bot Framework's"):
            await press(began + 4 * DAY + 30)
        await press(began + 4 * DAY + 70)
        teams.published = []
        with pytest.raises(Forged, match="not one of the Bot Framework's"):
            await press(began + 4 * DAY + 200, key=new_key("k3"))
        await press(began + 4 * DAY + 201)
        await channel.close()

    asyncio.run(run())


@pytest.mark.filterwarnings("ignore:Key size")
def test_a_short_key_is_not_used(teams: Teams) -> None:
    async def run() -> None:
        channel = teams_channel(teams)
        weak = jwk.RSAKey.generate_key(1024, {"kid": "weak", "use": "sig"})
        teams.published.append(published(weak))
        token = teams.token(weak)
        with pytest.raises(Forged, match="not one of the Bot Framework's"):
            await channel.hear({"authorization": f"Bearer {token}"}, b"{}", time.time())
        await channel.close()

    asyncio.run(run())
