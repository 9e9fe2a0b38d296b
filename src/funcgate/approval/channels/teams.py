"""Microsoft Teams: an Adaptive Card in one conversation, changed when the approval changes; presses come back as activities.

Every text is a TextRun, which knows no markdown: nothing that a caller sent is ever read as markup or a link.
"""

import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from funcgate.approval.show import Card, card
from funcgate.approval.spec import TeamsSpec
from funcgate.core.approval import Approval, State
from funcgate.core.secret import Secret

from . import posting
from .botframework import Connector, Own
from .channel import Forged, Heard, NotTold, Once, People, Said

CHANNEL = "msteams"
KEEP_S = 2 * 86400.0  # how long an activity is remembered: longer than any token lasts
MAX_BYTES = 28 << 10  # of a message, in UTF-16: the least that Microsoft names (it names up to 100 KB)
_LIMITS = (9000, 4000, 1500, 500)  # characters of facts and arguments; what takes more room beside them gets less
_MEDIA = "application/vnd.microsoft.card.adaptive"
_ANSWERS = {"approve": True, "reject": False}


class Named(Struct, rename="camel"):
    id: str = ""
    aad_object_id: str = ""


class Activity(Struct, rename={"service_url": "serviceUrl", "channel_id": "channelId", "sender": "from"}):
    """Of an activity, what is looked at."""

    type: str
    id: str
    service_url: str
    channel_id: str
    sender: Named
    conversation: Named
    name: str = ""
    value: Any = None


class TeamsChannel:
    """`channel.Channel` over the Bot Framework's REST API."""

    def __init__(self, spec: TeamsSpec, password: Secret) -> None:
        self.name = spec.name
        self._conversation = spec.conversation
        place = f"{spec.service_url.rstrip('/')}/v3/conversations/{quote(spec.conversation, safe='')}"
        self._activities = f"{place}/activities"
        self._people = People(spec.people)
        self._once = Once(KEEP_S)
        self._client = posting.client()
        self._own = Own(self._client, spec, password)
        self._connector = Connector(self._client, spec)

    async def tell(self, approval: Approval, reference: str) -> str:
        """See `channel.Channel`. The reference is the activity's id."""
        body = msgspec.json.encode(message(approval))
        if reference:
            url = f"{self._activities}/{quote(reference, safe='')}"
            if await self._send("PUT", url, body) is not None:
                return reference
        # Attack: delete the message, so that nobody learns of the call, or of what became of it. There is a new one then.
        posted = await self._send("POST", self._activities, body) or {}
        if not isinstance(posted.get("id"), str) or not posted["id"]:
            raise NotTold("Teams' answer does not say where the message is")
        return str(posted["id"])

    async def hear(self, headers: Mapping[str, str], body: bytes, now: float) -> Heard | Said:
        """See `channel.Channel`. An `adaptiveCard/action`, or a message with the card's data from an older client."""
        # Attack: anybody who can reach the address posts activities. Nothing of the body is read before the token is.
        claims = await self._connector.verify(headers.get("authorization", ""), CHANNEL, now)
        try:
            activity = msgspec.json.decode(body, type=Activity)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise Forged("the message is no activity that can be read") from None
        # Attack: a token that was given for one place is used from another.
        if claims.get("serviceurl") != activity.service_url or activity.channel_id != CHANNEL:
            raise Forged("the token is for another service or channel")
        data = _data(activity)
        if data is None:
            return Said()  # somebody talks to the bot, or installs it
        approval, verb = str(data.get("approval", ""))[:64], data.get("funcgate")
        if verb not in _ANSWERS:
            raise Forged("the card's data is no answer", approval)
        # Attack: the card is sent on to another conversation, whose members press its buttons.
        if _thread(activity.conversation.id) != _thread(self._conversation):
            raise Forged("the answer is from another conversation", approval)
        if not activity.id:
            raise Forged("the activity has no id", approval)
        self._once.check(activity.id, now, approval)
        person = self._people.person(activity.sender.aad_object_id, approval)
        return Heard(approval=approval, yes=_ANSWERS[verb], person=person, back=activity.type)

    async def reply(self, heard: Heard, approval: Approval | None, refusal: str) -> Said:
        """See `channel.Channel`. Whoever pressed sees the card as it is now, or why the answer does not count."""
        if heard.back != "invoke":
            return Said()
        if approval is not None:
            shown: dict[str, Any] = {"type": _MEDIA, "value": content(approval)}
        else:
            shown = {"type": "application/vnd.microsoft.activity.message", "value": refusal}
        return Said(body=msgspec.json.encode({"statusCode": 200, **shown}))

    async def close(self) -> None:
        await self._client.aclose()

    async def _send(self, method: str, url: str, body: bytes) -> dict[str, Any] | None:
        """What Teams says; None when the message to change is not there any more. Raises `NotTold`."""
        token = await self._own.token(time.time())
        headers = {"authorization": f"Bearer {token.reveal()}", "content-type": "application/json; charset=utf-8"}
        answer = await posting.send(self._client, method, url, headers, body)
        if answer.status // 100 == 2:
            return answer.read()
        if answer.status == 404 and method == "PUT":
            return None
        if answer.status == 401:
            self._own.drop()
        error = answer.read().get("error")
        why = str(error.get("code", ""))[:60] if isinstance(error, dict) else ""
        alone = answer.status in (400, 413)
        raise NotTold(f"Teams answered {answer.status} {why}".strip(), answer.pause_s, alone=alone)


def message(approval: Approval) -> dict[str, Any]:
    """The activity with the card."""
    attached = {"contentType": _MEDIA, "content": content(approval)}
    return {"type": "message", "summary": f"A call: {approval.state.value}", "attachments": [attached]}


def content(approval: Approval) -> dict[str, Any]:
    """The card, as large as a message may be."""
    for limit in _LIMITS:
        found = adaptive(card(approval, limit))
        if len(msgspec.json.encode(found).decode().encode("utf-16-le")) <= MAX_BYTES - 1024:
            break
    return found


def adaptive(shown: Card) -> dict[str, Any]:
    """The Adaptive Card: title, facts, every argument, how it stands, and buttons while an answer counts."""
    body = [_block((shown.title[:300], True))]
    body += [_block((f"{label}: ", True), (text, False)) for label, text in shown.facts]
    body += [_block((f"{name} = {text}", False), font="Monospace") for name, text in shown.args]
    if not shown.args:
        body.append(_block(("(no arguments)", False)))
    if shown.masked:
        body.append(_block(("Some values are masked: what runs holds more than is shown here.", True)))
    if shown.cut:
        cut = f"{shown.cut} characters are not shown. Answer where all of it can be seen: {shown.id}"
        body.append(_block((cut, True)))
    body.append(_block((shown.outcome[:1500], False)))
    # Attack: hide what matters behind the end of a message. What is not shown whole cannot be approved here.
    verbs = [verb for verb in _ANSWERS if shown.state is State.PENDING and not (shown.cut and verb == "approve")]
    return {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
        "fallbackText": f"This client cannot show the call. Answer elsewhere: {shown.id}", "body": body,
        "actions": [_button(verb, shown.id) for verb in verbs],
    }  # fmt: skip


def _block(*texts: tuple[str, bool], font: str = "Default") -> dict[str, Any]:
    """One paragraph of (text, whether it is bold)."""
    # Attack: `{{DATE(…)}}` in a caller's text shows the approver another date than what will run. No run has all of it.
    runs = [
        {"type": "TextRun", "text": part, "fontType": font, "weight": "Bolder" if bold else "Default"}
        for text, bold in texts
        for part in re.split(r"(?<=\{)(?=\{\s*(?:DATE|TIME))", text, flags=re.IGNORECASE)
        if part
    ]
    return {"type": "RichTextBlock", "inlines": runs}


def _button(verb: str, approval: str) -> dict[str, Any]:
    """`Action.Execute`; clients that do not know it get `Action.Submit`."""
    style = "positive" if verb == "approve" else "destructive"
    plain = {"title": verb.capitalize(), "style": style, "data": {"funcgate": verb, "approval": approval}}
    return {"type": "Action.Execute", "verb": verb, **plain, "fallback": {"type": "Action.Submit", **plain}}


def _data(activity: Activity) -> dict[str, Any] | None:
    """What the pressed button carries; None for an activity that is no press. Raises `Forged`."""
    value = activity.value
    if activity.type == "invoke" and activity.name == "adaptiveCard/action":
        action = value.get("action") if isinstance(value, dict) else None
        value = action.get("data") if isinstance(action, dict) else None
    elif activity.type != "message" or value is None:
        return None
    if not isinstance(value, dict):
        raise Forged("the card's data cannot be read")
    return value


def _thread(conversation: str) -> str:
    """Without the message in it: answers name it, ``19:…@thread.tacv2;messageid=…``."""
    return conversation.partition(";")[0]
