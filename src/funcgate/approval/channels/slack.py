"""Slack: a message with buttons in one channel, changed when the approval changes; presses come back signed by Slack.

Block Kit with plain text only: nothing that a caller sent is ever read as markup, a mention or a link.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec

from funcgate.approval.show import Card, card
from funcgate.approval.spec import SlackSpec
from funcgate.core.approval import Approval, State
from funcgate.core.secret import Secret

from .channel import Forged, Heard, NotTold, Once, People, Said

TIMEOUT_S = 10.0
TOLERANCE_S = 300.0  # as Slack's documentation says
MOST_ARGS = 9000  # characters: three blocks for arguments, each of at most 3,000
_BLOCK = 2900
_VERBS = {"funcgate_approve": True, "funcgate_reject": False}


class SlackChannel:
    """`channel.Channel` over Slack's Web API."""

    def __init__(self, spec: SlackSpec, token: Secret, signing_secret: Secret) -> None:
        self.name = spec.name
        self._place = spec.channel
        self._api = spec.url if spec.url.endswith("/") else f"{spec.url}/"
        self._signing_secret = signing_secret
        self._people = People(spec.people)
        self._once = Once(2 * TOLERANCE_S)
        self._token = token
        self._client = httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False)

    async def tell(self, approval: Approval, reference: str) -> str:
        """See `channel.Channel`. The reference is ``CHANNEL/TIMESTAMP`` of the message."""
        shown = card(approval, MOST_ARGS)
        message: dict[str, Any] = {
            "channel": self._place,
            "text": f"{shown.title}: {shown.outcome}",
            "blocks": blocks(shown),
        }
        method = "chat.postMessage"
        if reference:
            message["channel"], _, message["ts"] = reference.partition("/")
            method = "chat.update"
        answer = await self._post(method, message)
        return f"{answer.get('channel', self._place)}/{answer.get('ts', '')}"

    async def hear(self, headers: Mapping[str, str], body: bytes, now: float) -> Heard | Said:
        """See `channel.Channel`. An interaction of the kind ``block_actions``."""
        self._verify(headers, body, now)
        try:
            payload = msgspec.json.decode(parse_qs(body.decode(), strict_parsing=True)["payload"][0])
            (action,) = payload["actions"]
            verb, approval = str(action["action_id"]), str(action["value"])
            user, back = str(payload["user"]["id"]), str(payload.get("response_url", ""))
        except (KeyError, ValueError, TypeError, msgspec.MsgspecError):
            return Said()
        if verb not in _VERBS:
            return Said()
        self._once.check(headers.get("x-slack-signature", ""), now, approval)
        return Heard(approval=approval, yes=_VERBS[verb], person=self._people.person(user, approval), back=back)

    async def reply(self, heard: Heard, approval: Approval | None, refusal: str) -> Said:
        """See `channel.Channel`. The message itself is changed by `tell`; a refusal is shown to whoever pressed."""
        # Attack: a way back that leads to a server of the attacker's choice. It is signed by Slack, and still only Slack's.
        if (
            refusal
            and heard.back
            and urlsplit(heard.back).hostname in ("hooks.slack.com", urlsplit(self._api).hostname)
        ):
            message = {"response_type": "ephemeral", "replace_original": False, "text": refusal}
            try:
                await self._client.post(heard.back, json=message)
            except httpx.HTTPError:
                return Said()  # the answer was refused and recorded; whoever pressed sees the message unchanged
        return Said()

    async def close(self) -> None:
        await self._client.aclose()

    def _verify(self, headers: Mapping[str, str], body: bytes, now: float) -> None:
        stamp = headers.get("x-slack-request-timestamp", "")
        if not stamp.isdigit() or abs(now - int(stamp)) > TOLERANCE_S:
            raise Forged("Slack's time stamp is missing, too old, or from the future")
        signed = hmac.new(self._signing_secret.reveal().encode(), b"v0:%b:%b" % (stamp.encode(), body), hashlib.sha256)
        # Attack: anybody who can reach the address presses buttons; and timing that tells how much of a guess was right.
        sent = headers.get("x-slack-signature", "").encode("utf-8", "replace")
        if not hmac.compare_digest(b"v0=" + signed.hexdigest().encode(), sent):
            raise Forged("the signature is not Slack's")

    async def _post(self, method: str, message: Mapping[str, Any]) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self._token.reveal()}", "content-type": "application/json; charset=utf-8"}
        try:
            answer = await self._client.post(self._api + method, content=msgspec.json.encode(message), headers=headers)
            said = answer.json() if answer.status_code == 200 else {}
        except (httpx.HTTPError, ValueError) as error:
            raise NotTold(f"Slack cannot be reached ({type(error).__name__})") from None
        if answer.status_code == 429:
            pause = answer.headers.get("retry-after", "")
            raise NotTold("Slack asks for a pause", float(pause) if pause.isdigit() else 0.0)
        if not isinstance(said, dict) or said.get("ok") is not True:
            why = str(said.get("error", ""))[:60] if isinstance(said, dict) else ""
            raise NotTold(f"Slack refuses {method}: {why or answer.status_code}")
        return said


def blocks(shown: Card) -> list[dict[str, Any]]:
    """The message, Block Kit: title, facts, every argument, how it stands, and buttons while an answer counts."""
    parts: list[dict[str, Any]] = [{"type": "header", "text": _text(shown.title, 150)}]
    for label, text in shown.facts:
        parts.append(_section(f"{label}: {text}"))
    args = "\n".join(f"{name} = {text}" for name, text in shown.args) or "(no arguments)"
    parts += [_section(args[at : at + _BLOCK]) for at in range(0, len(args), _BLOCK)]
    if shown.masked:
        parts.append(_section("Some values are masked: what runs holds more than is shown here."))
    if shown.cut:
        parts.append(
            _section(
                f"{shown.cut} characters of the arguments are not shown. Answer where all of it can be seen: {shown.id}"
            )
        )
    parts.append(_section(shown.outcome))
    # Attack: hide what matters behind the end of a message. What is not shown whole cannot be approved here.
    if shown.state is State.PENDING:
        verbs = ["reject"] if shown.cut else ["approve", "reject"]
        parts.append({"type": "actions", "elements": [_button(verb, shown.id) for verb in verbs]})
    return parts


def _button(verb: str, approval: str) -> dict[str, Any]:
    style = "primary" if verb == "approve" else "danger"
    text = {"type": "plain_text", "text": verb.capitalize(), "emoji": False}
    return {"type": "button", "action_id": f"funcgate_{verb}", "text": text, "value": approval, "style": style}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _text(text, 3000)}


def _text(text: str, most: int) -> dict[str, Any]:
    """Plain text: Slack reads no markup, mention, link or emoji in it. What does not fit is said to be cut."""
    told = text if len(text) <= most else f"{text[: most - 30]}… ({len(text) - most + 30} more)"
    return {"type": "plain_text", "text": told, "emoji": False}
