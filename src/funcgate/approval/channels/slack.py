"""Slack: a message with buttons in one channel, changed when the approval changes; presses come back signed by Slack.

Block Kit with plain text only: nothing that a caller sent is ever read as markup, a mention or a link.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from funcgate.approval.show import Card, card, pieces
from funcgate.approval.spec import SlackSpec
from funcgate.core.approval import Approval, State
from funcgate.core.secret import Secret

from . import posting
from .channel import Forged, Heard, NotTold, Once, People, Said

TOLERANCE_S = 300.0  # as Slack's documentation says
REPLY_TIMEOUT_S = 2.0  # Slack waits for three seconds
MOST_SHOWN = 9000  # characters of facts and arguments in one message
_BLOCK = 1500  # Slack takes 3,000; a character outside the basic plane may count as two
_TITLE = 150
_VERBS = {"funcgate_approve": True, "funcgate_reject": False}
_GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
_THIS_ALONE = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long", "no_text"})


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
        self._client = posting.client()

    async def tell(self, approval: Approval, reference: str) -> str:
        """See `channel.Channel`. The reference is ``CHANNEL/TIMESTAMP`` of the message."""
        shown = card(approval, MOST_SHOWN)
        text = _escaped(f"{shown.title}: {shown.outcome}")[:_BLOCK]
        message: dict[str, Any] = {"text": text, "blocks": blocks(shown), "parse": "none", "link_names": False}
        if reference:
            channel, _, stamp = reference.partition("/")
            answer = await self._post("chat.update", {**message, "channel": channel, "ts": stamp})
            if answer.get("error") not in _GONE:
                return _reference(answer, "chat.update")
        # Attack: delete the message, so that nobody learns of the call, or of what became of it. There is a new one then.
        quiet = {"unfurl_links": False, "unfurl_media": False, "mrkdwn": False}
        return _reference(
            await self._post("chat.postMessage", {**message, **quiet, "channel": self._place}), "chat.postMessage"
        )

    async def hear(self, headers: Mapping[str, str], body: bytes, now: float) -> Heard | Said:
        """See `channel.Channel`. An interaction of the kind ``block_actions``."""
        self._verify(headers, body, now)
        try:
            form = parse_qs(body.decode(), strict_parsing=True, max_num_fields=20)
            payload = msgspec.json.decode(form["payload"][0])
            if payload["type"] != "block_actions":
                return Said()
            (action,) = payload["actions"]
            verb, approval = str(action["action_id"]), str(action.get("value", ""))
            user, back = str(payload["user"]["id"]), str(payload.get("response_url", ""))
        except (LookupError, ValueError, TypeError, AttributeError, RecursionError, msgspec.MsgspecError):
            raise Forged("Slack's message is no answer that can be read") from None
        if verb not in _VERBS:
            return Said()
        self._once.check(headers.get("x-slack-signature", ""), now, approval)
        return Heard(approval=approval, yes=_VERBS[verb], person=self._people.person(user, approval), back=back)

    async def reply(self, heard: Heard, approval: Approval | None, refusal: str) -> Said:
        """See `channel.Channel`. The message itself is changed by `tell`; a refusal is shown to whoever pressed."""
        if refusal and self._is_slack(heard.back):
            message = {"response_type": "ephemeral", "replace_original": False, "text": _escaped(refusal)}
            body, headers = msgspec.json.encode(message), {"content-type": "application/json; charset=utf-8"}
            try:
                await posting.send(self._client, "POST", heard.back, headers, body, REPLY_TIMEOUT_S)
            except NotTold:
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

    def _is_slack(self, url: str) -> bool:
        # Attack: a way back that leads to a server of the attacker's choice. It is signed by Slack, and still only Slack's.
        try:
            back, api = urlsplit(url), urlsplit(self._api)
            hooks = back.scheme == "https" and back.netloc == f"hooks.{api.netloc}"
        except ValueError:
            return False
        return hooks or (back.scheme, back.netloc) == (api.scheme, api.netloc)

    async def _post(self, method: str, message: Mapping[str, Any]) -> dict[str, Any]:
        """What Slack says, `ok` or one of `_GONE`. Raises `NotTold` for everything else."""
        headers = {"authorization": f"Bearer {self._token.reveal()}", "content-type": "application/json; charset=utf-8"}
        answer = await posting.send(self._client, "POST", self._api + method, headers, msgspec.json.encode(message))
        said = answer.read()
        if answer.status == 200 and (said.get("ok") is True or said.get("error") in _GONE):
            return said
        if answer.status == 429 or said.get("error") == "ratelimited":
            raise NotTold("Slack asks for a pause", answer.pause_s)
        why = str(said.get("error", ""))[:60]
        raise NotTold(f"Slack refuses {method}: {why or answer.status}", answer.pause_s, alone=why in _THIS_ALONE)


def blocks(shown: Card) -> list[dict[str, Any]]:
    """The message, Block Kit: title, facts, every argument, how it stands, and buttons while an answer counts."""
    parts: list[dict[str, Any]] = [{"type": "header", "text": _text(shown.title, _TITLE)}]
    for label, text in shown.facts:
        parts += _sections(f"{label}: {text}")
    parts += _sections("\n".join(f"{name} = {text}" for name, text in shown.args) or "(no arguments)")
    if shown.masked:
        parts += _sections("Some values are masked: what runs holds more than is shown here.")
    if shown.cut:
        parts += _sections(f"{shown.cut} characters are not shown. Answer where all of it can be seen: {shown.id}")
    parts.append({"type": "section", "text": _text(shown.outcome, _BLOCK)})
    # Attack: hide what matters behind the end of a message. What is not shown whole cannot be approved here.
    if shown.state is State.PENDING:
        verbs = ["reject"] if shown.cut else ["approve", "reject"]
        parts.append({"type": "actions", "elements": [_button(verb, shown.id) for verb in verbs]})
    return parts


def _reference(answer: Mapping[str, Any], method: str) -> str:
    channel, stamp = answer.get("channel"), answer.get("ts")
    if not (isinstance(channel, str) and isinstance(stamp, str) and channel and stamp):
        raise NotTold(f"Slack's answer to {method} does not say where the message is")
    return f"{channel}/{stamp}"


def _escaped(text: str) -> str:
    """For the one text that Slack reads as its markup: the three characters that its documentation names."""
    # Attack: a caller named `<!channel>`, or with a link for a name.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _button(verb: str, approval: str) -> dict[str, Any]:
    style = "primary" if verb == "approve" else "danger"
    text = {"type": "plain_text", "text": verb.capitalize(), "emoji": False}
    return {"type": "button", "action_id": f"funcgate_{verb}", "text": text, "value": approval, "style": style}


def _sections(text: str) -> list[dict[str, Any]]:
    return [{"type": "section", "text": _text(each, _BLOCK)} for each in pieces(text, _BLOCK)]


def _text(text: str, most: int) -> dict[str, Any]:
    """Plain text: Slack reads no markup, mention, link or emoji in it. What does not fit is said to be cut."""
    told = text if len(text) <= most else f"{text[: most - 30]}… ({len(text) - most + 30} more)"
    return {"type": "plain_text", "text": told, "emoji": False}
