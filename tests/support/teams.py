"""Microsoft's side of a Teams bot: the login service, the connector's REST API, its keys, and the activities it sends.

Tokens both ways are real: the bot's are checked as the connector does, the connector's are signed with RSA keys.
"""

import json
import time
from typing import Any
from urllib.parse import parse_qs, quote, unquote

import httpx
from joserfc import jwk, jwt

from support.web import Give, Got, Web

APP_ID = "5c0a7bdc-0f1e-4d4e-9a53-6ac9b6a8d5f1"
PASSWORD = "password-canary~of-the-bot"
TENANT = "contoso.example"
CONVERSATION = "19:4f2a@thread.tacv2"
_ELEMENTS: dict[str, set[str]] = {
    "AdaptiveCard": {"$schema", "version", "body", "actions", "fallbackText"},
    "RichTextBlock": {"inlines"},
    "TextRun": {"text", "fontType", "weight"},
    "Action.Execute": {"verb", "title", "style", "data", "fallback"},
    "Action.Submit": {"title", "style", "data"},
}


class Teams(Web):
    """`cards` by the id of their activity, as members of the conversation see them."""

    def __init__(self) -> None:
        super().__init__(self._route)
        self.cards: dict[str, dict[str, Any]] = {}
        self.posts = self.updates = self.keys_read = 0
        self.tokens: list[str] = []
        self.lasts_s = 3600
        self._number = 0
        self.key = new_key("k1")
        self.published = [published(self.key)]

    # -- what the bot asks for

    def _route(self, got: Got) -> Give:
        if got.path == f"/login/{TENANT}/oauth2/v2.0/token":
            return self._login(got)
        if got.path == "/keys":
            self.keys_read += 1
            return Give(body={"keys": self.published})
        return self._connector(got)

    def _login(self, got: Got) -> Give:
        form = {name: values[0] for name, values in parse_qs(got.body.decode(), strict_parsing=True).items()}
        expected = {
            "grant_type": "client_credentials", "client_id": APP_ID, "client_secret": PASSWORD,
            "scope": "https://api.botframework.com/.default",
        }  # fmt: skip
        if got.method != "POST" or form != expected:
            self.wrong.append(f"login: {sorted(form)}")
            return Give(400, {"error": "invalid_client"})
        self.tokens.append(f"own-{len(self.tokens)}-canary")
        return Give(body={"token_type": "Bearer", "expires_in": self.lasts_s, "access_token": self.tokens[-1]})

    def _connector(self, got: Got) -> Give:
        place = f"/teams/v3/conversations/{quote(CONVERSATION, safe='')}/activities"
        if not self.tokens or got.headers.get("authorization") != f"Bearer {self.tokens[-1]}":
            return Give(401, {"error": {"code": "Unauthorized"}})
        activity = got.json()
        (attached,) = activity["attachments"]
        card = attached["content"]
        if problems := wrong_card(card):
            self.wrong.append("; ".join(problems))
            return Give(400, {"error": {"code": "BadSyntax", "message": "x"}})
        if len(got.body.decode().encode("utf-16-le")) > 28 << 10:
            self.wrong.append("MessageSizeTooBig")
            return Give(413, {"error": {"code": "MessageSizeTooBig"}})
        if activity["type"] != "message" or attached["contentType"] != "application/vnd.microsoft.card.adaptive":
            return Give(400, {"error": {"code": "BadArgument"}})
        if (got.method, got.path) == ("POST", place):
            self._number += 1
            self.posts += 1
            name = f"1:{self._number}/x"
        elif got.method == "PUT" and got.path.startswith(f"{place}/"):
            name = unquote(got.path.removeprefix(f"{place}/"))
            if name not in self.cards:
                return Give(404, {"error": {"code": "ActivityNotFoundInConversation"}})
            self.updates += 1
        else:
            self.wrong.append(f"{got.method} {got.path}")
            return Give(404)
        self.cards[name] = card
        return Give(200 if got.method == "PUT" else 201, {"id": name})

    # -- what members of the conversation see and do

    def about(self, text: str) -> str:
        """The newest card that says so; "" if there is none."""
        return next((name for name, card in reversed(list(self.cards.items())) if text in read(card)), "")

    def activity(self, user: str, data: Any, **changes: Any) -> dict[str, Any]:
        """A press of a button: `Action.Execute`, as the connector sends it."""
        self._number += 1
        action = {"type": "Action.Execute", "title": "x", "verb": "x", "data": data}
        return {
            "type": "invoke", "name": "adaptiveCard/action", "id": f"f:{self._number}", "channelId": "msteams",
            "serviceUrl": f"{self.url}/teams/", "from": {"id": "29:1", "name": "somebody", "aadObjectId": user},
            "recipient": {"id": f"28:{APP_ID}", "name": "bot"},
            "conversation": {
                "id": f"{CONVERSATION};messageid=1485983408511", "conversationType": "channel", "isGroup": True,
            },
            "channelData": {"tenant": {"id": TENANT}}, "value": {"action": action, "trigger": "manual"},
        } | changes  # fmt: skip

    def token(self, key: jwk.RSAKey | None = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token of the connector's; `claims` replace, or (None) remove."""
        now = int(time.time())
        plain = {
            "iss": "https://api.botframework.com", "aud": APP_ID, "exp": now + 3600, "nbf": now - 10,
            "serviceurl": f"{self.url}/teams/",
        } | claims  # fmt: skip
        key = key or self.key
        used = {"alg": "RS256", "kid": key.kid, "typ": "JWT", "x5t": key.kid} | (header or {})
        kept = {name: value for name, value in plain.items() if value is not None}
        return jwt.encode(used, kept, key, algorithms=["RS256", "RS512", "PS256"])

    def send(self, url: str, activity: Any, token: str | None = None) -> httpx.Response:
        headers = {"content-type": "application/json; charset=utf-8"}
        given = self.token() if token is None else token
        body = activity if isinstance(activity, bytes) else json.dumps(activity).encode()
        return self.post(url, body, headers | ({"authorization": f"Bearer {given}"} if given else {}))


def new_key(kid: str) -> jwk.RSAKey:
    return jwk.RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})


def published(key: jwk.RSAKey, channels: tuple[str, ...] = ("msteams", "webchat")) -> dict[str, Any]:
    """As the Bot Framework lists its keys."""
    return {**key.as_dict(private=False), "x5t": key.kid, "x5c": ["bm90IGEgY2VydA=="], "endorsements": list(channels)}


def read(card: dict[str, Any]) -> str:
    """All that can be read on a card, a line for each block."""
    return "".join("".join(run["text"] for run in block["inlines"]) + "\n" for block in card["body"])


def buttons(card: dict[str, Any]) -> dict[str, Any]:
    """What each button carries."""
    return {action["verb"]: action["data"] for action in card["actions"]}


def wrong_card(card: dict[str, Any]) -> list[str]:
    """What the schema of Adaptive Cards 1.4 does not know, and text that a client would read as more than text."""
    found = [] if (card["type"], card["version"]) == ("AdaptiveCard", "1.4") else ["type or version"]
    actions = card["actions"]
    runs = [run for block in card["body"] for run in block["inlines"]]
    for element in [card, *card["body"], *runs, *actions, *(action["fallback"] for action in actions)]:
        if set(element) - {"type"} - _ELEMENTS.get(element["type"], set()):
            found.append(f"{element['type']} with {sorted(element)}")
    for run in runs:
        if run["type"] != "TextRun" or not run["text"] or "{{DATE(" in run["text"] or "{{TIME(" in run["text"]:
            found.append(f"a run {run}")
        if run["fontType"] not in ("Default", "Monospace") or run["weight"] not in ("Default", "Bolder"):
            found.append(f"a run {run}")
    for action in actions:
        if (
            action["style"] not in ("default", "positive", "destructive")
            or action["fallback"]["data"] != action["data"]
        ):
            found.append(f"an action {action}")
    return found
