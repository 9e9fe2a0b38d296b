"""Slack as its documentation says: Web API with bearer tokens, Block Kit and its limits, interactions signed with v0."""

import hashlib
import hmac
import json
import time
from typing import Any
from urllib.parse import urlencode

import httpx

from support.web import Give, Got, Web

TOKEN = "xoxb-4711-canary-of-slack"
SIGNING_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
CHANNEL = "C0123456789"
_POST = {"channel", "text", "blocks", "parse", "link_names", "unfurl_links", "unfurl_media", "mrkdwn"}
_UPDATE = {"channel", "ts", "text", "blocks", "parse", "link_names"}


class Slack(Web):
    """`messages` by their time stamp, as the members of the channel see them; `posts` and `updates` count."""

    def __init__(self) -> None:
        super().__init__(self._api)
        self.messages: dict[str, dict[str, Any]] = {}
        self.posts = self.updates = 0
        self.ephemeral: list[dict[str, Any]] = []
        self._number = 0

    # -- the Web API

    def _api(self, got: Got) -> Give:
        if got.path.startswith("/actions/"):
            self.ephemeral.append(got.json())
            return Give(body=b"ok")
        if got.headers.get("authorization") != f"Bearer {TOKEN}":
            return Give(body={"ok": False, "error": "invalid_auth"})
        if not got.headers.get("content-type", "").startswith("application/json"):
            return Give(body={"ok": False, "error": "invalid_post_type"})
        message = got.json()
        known = {"/api/chat.postMessage": _POST, "/api/chat.update": _UPDATE}.get(got.path)
        if known is None or not set(message) <= known:
            return self._no("invalid_arguments", f"{got.path} with {sorted(set(message) - (known or set()))}")
        if message["channel"] != CHANNEL:
            return self._no("channel_not_found", message["channel"])
        if problems := wrong_blocks(message["blocks"]):
            return self._no("invalid_blocks", "; ".join(problems))
        if len(message["text"]) > 4000:
            return self._no("msg_too_long", "text")
        if got.path == "/api/chat.postMessage":
            self._number += 1
            stamp = f"1795000000.{self._number:06d}"
            self.posts += 1
        else:
            stamp = message["ts"]
            if stamp not in self.messages:
                return Give(body={"ok": False, "error": "message_not_found"})
            self.updates += 1
        self.messages[stamp] = message
        return Give(body={"ok": True, "channel": CHANNEL, "ts": stamp, "message": {"text": message["text"]}})

    def _no(self, error: str, why: str) -> Give:
        self.wrong.append(f"{error}: {why}")
        return Give(body={"ok": False, "error": error})

    # -- what members of the channel see and do

    def about(self, approval: str) -> list[str]:
        """Stamps of the messages about it."""
        return [stamp for stamp, message in list(self.messages.items()) if f'"{approval}"' in json.dumps(message)]

    def text(self, stamp: str) -> str:
        """All that can be read in a message."""
        return "\n".join(
            block["text"]["text"] for block in self.messages[stamp]["blocks"] if block["type"] in ("header", "section")
        )

    def buttons(self, stamp: str) -> dict[str, str]:
        """Action and value of each."""
        found = [each for each in self.messages[stamp]["blocks"] if each["type"] == "actions"]
        return {each["action_id"]: each["value"] for block in found for each in block["elements"]}

    def pressed(self, user: str, action: str, value: str, **changes: Any) -> bytes:
        """The body of an interaction."""
        payload = {
            "type": "block_actions", "api_app_id": "A1", "user": {"id": user, "username": "x", "team_id": "T1"},
            "team": {"id": "T1", "domain": "acme"}, "channel": {"id": CHANNEL, "name": "approvals"},
            "container": {"type": "message", "message_ts": "1795000000.000001", "channel_id": CHANNEL},
            "response_url": f"{self.url}/actions/T1/1/x",
            "actions": [{"type": "button", "action_id": action, "block_id": "b", "value": value, "action_ts": "1"}],
        } | changes  # fmt: skip
        return urlencode({"payload": json.dumps(payload)}).encode()


def signed(body: bytes, at: float | None = None, secret: str = SIGNING_SECRET) -> dict[str, str]:
    """The headers that Slack sends with `body`."""
    stamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return {
        "content-type": "application/x-www-form-urlencoded",
        "x-slack-request-timestamp": stamp,
        "x-slack-signature": f"v0={digest}",
    }


def send(url: str, body: bytes, **signing: Any) -> httpx.Response:
    return Web.post(url, body, signed(body, **signing))


def wrong_blocks(blocks: list[dict[str, Any]]) -> list[str]:
    """What Block Kit's reference does not allow: numbers and lengths, counted as JavaScript does."""
    found = [] if 0 < len(blocks) <= 50 else [f"{len(blocks)} blocks"]
    for block in blocks:
        kind = block.get("type")
        if kind == "header":
            found += _wrong_text(block["text"], 150, {"plain_text"})
        elif kind == "section":
            found += _wrong_text(block["text"], 3000, {"plain_text", "mrkdwn"})
        elif kind == "actions":
            found += [] if 0 < len(block["elements"]) <= 25 else ["elements of actions"]
            names = [each["action_id"] for each in block["elements"]]
            found += [] if len(set(names)) == len(names) else ["two elements with one action_id"]
            for each in block["elements"]:
                found += _wrong_text(each["text"], 75, {"plain_text"})
                found += [] if _length(each["action_id"]) <= 255 and _length(each["value"]) <= 2000 else ["button"]
                found += [] if each["type"] == "button" and each["style"] in ("primary", "danger") else ["button"]
        else:
            found.append(f"a block of type {kind!r}")
    return found


def _wrong_text(text: dict[str, Any], most: int, kinds: set[str]) -> list[str]:
    if text["type"] not in kinds or set(text) - {"type", "text", "emoji", "verbatim"}:
        return [f"a text object {text}"]
    return [] if 0 < _length(text["text"]) <= most else [f"a text of {_length(text['text'])} characters"]


def _length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
