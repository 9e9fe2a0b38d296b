"""A receiver of the operator's own, told and answering by POST. Both ways signed as the Standard Webhooks specification says:
`webhook-id`, `webhook-timestamp`, `webhook-signature: v1,BASE64(HMAC-SHA256(id.timestamp.body))`."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

import msgspec
from msgspec import Struct

from funcgate.approval.show import card
from funcgate.approval.spec import WebhookChannelSpec
from funcgate.core.approval import Approval
from funcgate.core.secret import Secret

from . import posting
from .channel import Forged, Heard, NotTold, Once, People, Said

TOLERANCE_S = 300.0
# About the receiver, not about the message: those wait until somebody mends it.
_NOT_THE_MESSAGE = frozenset({401, 402, 403, 404, 405, 407, 408, 410, 421, 423, 425, 426, 429})
_EXPECTED = "expected a JSON object: approval, answer (approve or reject), person, reason"


class Answered(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the receiver sends back: `person` is one of the configured people's ids."""

    approval: str
    answer: Literal["approve", "reject"]
    person: str
    reason: str = ""


class WebhookChannel:
    """`channel.Channel` over one URL. `secret` is ``whsec_`` and base64, or any text of 24 characters at least."""

    def __init__(self, spec: WebhookChannelSpec, secret: Secret) -> None:
        self.name = spec.name
        self._url = spec.url
        self._key = secret
        self._people = People(spec.people)
        self._once = Once(2 * TOLERANCE_S)
        self._client = posting.client()

    async def tell(self, approval: Approval, reference: str) -> str:
        """See `channel.Channel`. The whole approval goes out each time, its arguments masked and uncut."""
        shown = card(approval)
        told = {
            "approval": approval.id, "state": approval.state.value, "revision": approval.revision, "title": shown.title,
            "facts": dict(shown.facts), "args": approval.asked.args, "masked": approval.asked.masked,
            "digest": approval.asked.digest, "outcome": shown.outcome,
            "expires_at": datetime.fromtimestamp(approval.expires_at, UTC).isoformat(timespec="seconds"),
        }  # fmt: skip
        body = msgspec.json.encode(told)
        name, stamp = f"{approval.id}.{approval.revision}", str(int(datetime.now(UTC).timestamp()))
        headers = {"content-type": "application/json", "webhook-id": name, "webhook-timestamp": stamp}
        headers["webhook-signature"] = sign(self._key, name, stamp, body)
        answer = await posting.send(self._client, "POST", self._url, headers, body)
        if answer.status // 100 != 2:
            alone = 400 <= answer.status < 500 and answer.status not in _NOT_THE_MESSAGE
            raise NotTold(f"{posting.place(self._url)} answered {answer.status}", answer.pause_s, alone=alone)
        return name

    async def hear(self, headers: Mapping[str, str], body: bytes, now: float) -> Heard | Said:
        """See `channel.Channel`."""
        name, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        # Attack: anybody who can reach the address posts an answer. Nothing of the body is read before the signature is.
        if not name or not _signed(self._key, name, stamp, body, headers.get("webhook-signature", "")):
            raise Forged("no signature of the channel's secret")
        if not stamp.isdigit() or abs(now - int(stamp)) > TOLERANCE_S:
            raise Forged("the signature is too old, or from the future")
        try:
            said = msgspec.json.decode(body, type=Answered)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise Forged("the signed message is no answer", said=_problem(400, _EXPECTED)) from None
        self._once.check(name, now, said.approval)
        person = self._people.person(said.person, said.approval)
        return Heard(approval=said.approval, yes=said.answer == "approve", person=person, reason=said.reason)

    async def reply(self, heard: Heard, approval: Approval | None, refusal: str) -> Said:
        """See `channel.Channel`."""
        if approval is None:
            return _problem(409, refusal)
        return Said(body=msgspec.json.encode({"approval": approval.id, "state": approval.state.value}))

    async def close(self) -> None:
        await self._client.aclose()


def sign(secret: Secret, name: str, stamp: str, body: bytes) -> str:
    """The signature field for a message."""
    signed = hmac.digest(_key(secret), f"{name}.{stamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed).decode()}"


def _problem(status: int, text: str) -> Said:
    return Said(status=status, body=msgspec.json.encode({"error": text}))


def _signed(secret: Secret, name: str, stamp: str, body: bytes, signatures: str) -> bool:
    expected = sign(secret, name, stamp, body)
    # Attack: timing of an ordinary comparison tells how much of a guess was right. Several are sent while a secret changes.
    return any(
        hmac.compare_digest(expected.encode(), each.encode("utf-8", "replace")) for each in signatures.split(" ")[:10]
    )


def _key(secret: Secret) -> bytes:
    """The configuration has made sure that base64 follows ``whsec_``."""
    text = secret.reveal()
    return base64.b64decode(text[6:], validate=True) if text.startswith("whsec_") else text.encode()
