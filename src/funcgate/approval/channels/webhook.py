"""A receiver of the operator's own, told and answering by POST. Both ways signed as the Standard Webhooks specification says:
`webhook-id`, `webhook-timestamp`, `webhook-signature: v1,BASE64(HMAC-SHA256(id.timestamp.body))`."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime

import httpx
import msgspec
from msgspec import Struct

from funcgate.approval.show import card
from funcgate.approval.spec import WebhookChannelSpec
from funcgate.core.approval import Approval
from funcgate.core.secret import Secret

from .channel import Forged, Heard, NotTold, Once, People, Said

TIMEOUT_S = 10.0
TOLERANCE_S = 300.0


class Answered(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the receiver sends back: `person` is one of the configured people's ids."""

    approval: str
    answer: str
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
        self._client = httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False)

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
        try:
            answer = await self._client.post(self._url, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise NotTold(f"{self._url} cannot be reached ({type(error).__name__})") from None
        if answer.status_code // 100 != 2:
            raise NotTold(f"{self._url} answered {answer.status_code}")
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
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return Said(status=400, body=b'{"error":"expected approval, answer, person and reason"}')
        self._once.check(name, now, said.approval)
        if said.answer not in ("approve", "reject"):
            return Said(status=400, body=b'{"error":"the answer is approve or reject"}')
        person = self._people.person(said.person, said.approval)
        return Heard(approval=said.approval, yes=said.answer == "approve", person=person, reason=said.reason)

    async def reply(self, heard: Heard, approval: Approval | None, refusal: str) -> Said:
        """See `channel.Channel`."""
        if approval is None:
            return Said(status=409, body=msgspec.json.encode({"error": refusal}))
        return Said(body=msgspec.json.encode({"approval": approval.id, "state": approval.state.value}))

    async def close(self) -> None:
        await self._client.aclose()


def sign(secret: Secret, name: str, stamp: str, body: bytes) -> str:
    """The signature field for a message."""
    signed = hmac.digest(_key(secret), f"{name}.{stamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed).decode()}"


def _signed(secret: Secret, name: str, stamp: str, body: bytes, signatures: str) -> bool:
    expected = sign(secret, name, stamp, body)
    # Attack: timing of an ordinary comparison tells how much of a guess was right. Several are sent while a secret changes.
    return any(
        hmac.compare_digest(expected.encode(), each.encode("utf-8", "replace")) for each in signatures.split(" ")[:10]
    )


def _key(secret: Secret) -> bytes:
    text = secret.reveal()
    if text.startswith("whsec_"):
        try:
            return base64.b64decode(text.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            pass
    return text.encode()
