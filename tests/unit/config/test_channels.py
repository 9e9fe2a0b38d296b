"""What the file says of channels: settings with their secrets, and every slip at its place."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from funcgate.app import read_parts
from funcgate.approval.spec import SlackSpec
from funcgate.config.problems import Faulty
from funcgate.config.secrets import secret_variables

Write = Callable[..., Path]
BOB = "{id: U1, issuer: corp, subject: bob, groups: [finance]}"
SLACK: dict[str, Any] = {
    "name": "ops", "type": "slack", "channel": "C1", "token": "env:SLACK_TOKEN", "signing_secret": "env:SLACK_SIGNING",
    "people": f"[{BOB}]",
}  # fmt: skip
TEAMS: dict[str, Any] = {
    "name": "ops", "type": "teams", "app_id": "a", "password": "env:TEAMS_PASSWORD", "tenant": "t", "conversation": "c",
    "people": f"[{BOB}]",
}  # fmt: skip
HOOK: dict[str, Any] = {
    "name": "ops", "type": "webhook", "url": "https://hook.example/x", "secret": "env:HOOK_SECRET", "people": f"[{BOB}]",
}  # fmt: skip
MAIL: dict[str, Any] = {
    "name": "ops", "type": "email", "smtp": "smtps://mail.example", "sender": "gate@example.com", "to": "[a@example.com]",
}  # fmt: skip
ONLY_HERE = "http:// is for this machine only; use https://"
NO_URL = "expected https://HOST… or http://HOST…, without user and password"
NO_SECRET = "this must be env:NAME or file:PATH, never the secret itself"


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLACK_TOKEN", "SLACK_SIGNING", "TEAMS_PASSWORD"):
        monkeypatch.setenv(name, f"canary of {name}")
    monkeypatch.setenv("HOOK_SECRET", "x" * 24)
    monkeypatch.setenv("SHORT", "x" * 23)
    monkeypatch.setenv("SHORT_KEY", "whsec_" + base64.b64encode(b"x" * 23).decode())
    monkeypatch.setenv("NO_KEY", "whsec_" + "ä" * 40)
    monkeypatch.delenv("NOT_SET_HERE", raising=False)


def text(*channels: dict[str, Any]) -> str:
    """The lines of `channels:`, one key a line; the first one is line 28."""
    lines = ["channels:"]
    for channel in channels:
        lines += [f"{'  - ' if not at else '    '}{key}: {value}" for at, (key, value) in enumerate(channel.items())]
    return "\n".join(lines) + "\n"


def told(write: Write, sound: str, *channels: dict[str, Any]) -> list[tuple[str, str]]:
    """The problems: the line that each is at, and its text."""
    path = write(text=sound + text(*channels))
    lines = ["", *path.read_text().splitlines()]
    with pytest.raises(Faulty) as caught:
        read_parts(path)
    assert "canary" not in str(caught.value)
    return [(lines[each.line].strip(" -"), each.text) for each in caught.value.problems if not each.warning]


def test_channels_and_their_secrets(write: Write, sound: str) -> None:
    path = write(text=sound + text(SLACK, TEAMS | {"name": "ms"}, HOOK | {"name": "hook"}))
    parts = read_parts(path)
    slack, teams, hook = parts.channels
    assert isinstance(slack.spec, SlackSpec)
    assert (slack.spec.url, slack.spec.people[0].groups) == ("https://slack.com/api/", ["finance"])
    assert {name: each.reveal() for name, each in slack.secrets.items()} == {
        "token": "canary of SLACK_TOKEN",
        "signing_secret": "canary of SLACK_SIGNING",
    }
    assert (sorted(teams.secrets), sorted(hook.secrets)) == (["password"], ["secret"])
    assert "canary" not in repr(parts.channels)
    assert {"SLACK_TOKEN", "SLACK_SIGNING", "TEAMS_PASSWORD", "HOOK_SECRET"} <= secret_variables(parts.loaded.config)


def test_nobody_who_could_answer_is_a_warning(write: Write, sound: str) -> None:
    path = write(text=sound + text(SLACK | {"people": "[]"}))
    assert any("nobody could answer here" in str(each) for each in read_parts(path).warnings)


@pytest.mark.parametrize(
    ("channel", "field", "problem"),
    [
        (SLACK | {"name": "a b"}, "name", "a channel's name has letters, digits, - and _ only, 63 at most"),
        (SLACK | {"name": '""'}, "name", "a channel's name has letters, digits, - and _ only, 63 at most"),
        (SLACK | {"name": "x" * 64}, "name", "a channel's name has letters, digits, - and _ only, 63 at most"),
        (SLACK | {"channel": '" "'}, "channel", "`channel` is empty"),
        (SLACK | {"token": "xoxb-canary"}, "token", NO_SECRET),
        (SLACK | {"token": '""'}, "token", NO_SECRET),
        (SLACK | {"signing_secret": "env:NOT_SET_HERE"}, "signing_secret",
         "the environment variable NOT_SET_HERE is not set"),
        (SLACK | {"url": "http://slack.example/api/"}, "url", ONLY_HERE),
        (SLACK | {"url": "slack.com"}, "url", NO_URL),
        (SLACK | {"url": "https://me:canary@slack.com/"}, "url", NO_URL),
        (SLACK | {"url": "https://[::1/"}, "url", NO_URL),
        (TEAMS | {"service_url": "http://smba.example/"}, "service_url", ONLY_HERE),
        (TEAMS | {"login_url": "ftp://x"}, "login_url", NO_URL),
        (TEAMS | {"keys_url": "https://"}, "keys_url", NO_URL),
        (TEAMS | {"app_id": '""'}, "app_id", "`app_id` is empty"),
        (TEAMS | {"tenant": '""'}, "tenant", "`tenant` is empty"),
        (TEAMS | {"conversation": '""'}, "conversation", "`conversation` is empty"),
        (TEAMS | {"password": "canary"}, "password", NO_SECRET),
        (HOOK | {"url": "http://10.0.0.1/"}, "url", ONLY_HERE),
        (HOOK | {"secret": "env:SHORT"}, "secret", "the secret has fewer than 24 bytes"),
        (HOOK | {"secret": "env:SHORT_KEY"}, "secret", "the secret has fewer than 24 bytes"),
        (HOOK | {"secret": "env:NO_KEY"}, "secret", "the secret begins with whsec_ and goes on with no base64"),
        (HOOK | {"secret": '""'}, "secret", NO_SECRET),
        (HOOK | {"people": f"[{BOB.replace('U1', '')!s}]".replace("id: ,", 'id: "",')}, "people", "`id` is empty"),
        (HOOK | {"people": '[{id: U1, issuer: corp, subject: " "}]'}, "people", "`subject` is empty"),
        (HOOK | {"people": f"[{BOB}, {BOB.replace('bob', 'carol')}]"}, "people", "'U1' is listed twice"),
        (HOOK | {"people": f"[{BOB.replace('corp', 'crop')}]"}, "people",
         "there is no issuer 'crop'; did you mean 'corp'?"),
        (MAIL | {"smtp": "http://mail.example"}, "smtp",
         "expected smtp://HOST… or smtps://HOST…, without user and password"),
        (MAIL | {"sender": "nobody"}, "sender", "'nobody' is no mail address"),
        (MAIL | {"to": '["a@example.com", "b <b@example.com>"]'}, "to", "'b <b@example.com>' is no mail address"),
        (MAIL | {"to": "[]"}, "to", "nobody would be told"),
        (MAIL | {"user": "me"}, "user", "`user` and `password` go together"),
    ],
)  # fmt: skip
def test_every_slip_at_its_place(write: Write, sound: str, channel: dict[str, Any], field: str, problem: str) -> None:
    sound += "approval_url: https://console.example/approvals\n"
    (found,) = told(write, sound, channel)
    assert (found[0].partition(":")[0], found[1]) == (field, problem)


def test_two_channels_of_one_name(write: Write, sound: str) -> None:
    assert told(write, sound, SLACK, HOOK) == [("name: ops", "there are two channels named 'ops'")]


def test_mail_needs_somewhere_to_lead(write: Write, sound: str) -> None:
    ((place, problem),) = told(write, sound, MAIL)
    assert place == "name: ops"
    assert "its links lead there" in problem
