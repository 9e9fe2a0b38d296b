"""A webhook: batches as a JSON array, signed as Standard Webhooks says, so that the receiver knows who sent them and when.

Only an answer 2xx means that a batch is there. No redirect is followed, no proxy setting read.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import ssl
import time
from collections.abc import Sequence

import httpx

from funcgate.core.entry import Entry
from funcgate.core.secret import Secret
from funcgate.recording.calls import CallRecord
from funcgate.recording.chore import ChoreFailed

from .destination import Message, Unreachable, Unwanted, pause_of
from .events import json_of

TIMEOUT_S = 15.0
MAX_ANSWER_BYTES = 64 << 10
_PREFIX = "whsec_"

# About the destination, not about what it is sent: a wrong address or credential. Those wait until somebody mends it.
_NOT_THE_EVENT = frozenset({401, 402, 403, 404, 405, 407, 408, 410, 421, 423, 425, 426, 429})


class Webhook:
    """A `Destination`."""

    max_events = 500
    max_bytes = 1 << 20
    unconfirmed = 0

    def __init__(self, url: str, secret: Secret, tls: ssl.SSLContext) -> None:
        self._url = url
        self._key = key_of(secret)
        self._client = httpx.AsyncClient(verify=tls, follow_redirects=False, trust_env=False, timeout=TIMEOUT_S)
        self._runner = asyncio.Runner()

    def data(self, what: CallRecord | Entry) -> bytes:
        return json_of(what)

    def send(self, messages: Sequence[Message]) -> None:
        body = b"[" + b",".join(message.data for message in messages) + b"]"
        headers = signed(self._key, name_of(messages), int(time.time()), body)
        try:
            status, pause = self._runner.run(self._post(body, headers))
        except TimeoutError:
            raise Unreachable(f"{_place(self._url)} did not answer within {TIMEOUT_S:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise Unreachable(f"{_place(self._url)}: {type(error).__name__}") from None
        check(status, pause, _place(self._url))

    async def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int, str | None]:
        """Status and pause. A body is read as far as it is short, so that the connection can be used again."""
        # Attack: an answer whose head comes a byte at a time, each in time. The whole of it has a limit.
        async with (
            asyncio.timeout(TIMEOUT_S),
            self._client.stream("POST", self._url, content=body, headers=headers) as answer,
        ):
            size = 0
            async for piece in answer.aiter_raw():
                size += len(piece)
                if size > MAX_ANSWER_BYTES:
                    break
            return answer.status_code, answer.headers.get("retry-after")

    def tick(self) -> None:
        pass

    def confirm(self, timeout_s: float) -> None:
        pass

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()


def check(status: int, pause: str | None, place: str) -> None:
    """Raises `Unwanted` or `Unreachable` for an answer that is not 2xx."""
    if 200 <= status < 300:
        return
    text = f"{place} answered {status}"
    if 400 <= status < 500 and status not in _NOT_THE_EVENT:
        raise Unwanted(text)
    # Attack: a redirect that makes somebody else's server the receiver of the record. It is a failure like others.
    raise Unreachable(text, pause_of(pause))


def key_of(secret: Secret) -> bytes:
    """``whsec_`` and base64, or any other text as it is. Raises `ChoreFailed`."""
    text = secret.reveal()
    if not text.startswith(_PREFIX):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ChoreFailed(f"the webhook's secret begins with {_PREFIX} and goes on with no base64") from None


def name_of(messages: Sequence[Message]) -> str:
    """The same for the same batch, so that the receiver can tell what it has already."""
    digest = hashlib.sha256("\n".join(message.id for message in messages).encode()).digest()
    return "msg_" + base64.b32encode(digest[:20]).decode().lower()


def signed(key: bytes, name: str, at: int, body: bytes) -> dict[str, str]:
    """The headers (Standard Webhooks 1.0): the signature is over name, time and body, so none of them can be changed."""
    signature = hmac.digest(key, b"%b.%d.%b" % (name.encode(), at, body), "sha256")
    return {
        "content-type": "application/json",
        "user-agent": "funcgate",
        "webhook-id": name,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


def _place(url: str) -> str:
    """Without path and query, which may hold a token."""
    return "/".join(url.split("/", 3)[:3])
