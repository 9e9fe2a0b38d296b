"""An approver's own receiver, as the Standard Webhooks specification says: it verifies what it is told, and signs its answers."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import httpx

from support.web import Give, Got, Web

KEY = b"a key of a receiver: 24+ bytes"
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


class Receiver(Web):
    """`told` by the message's id, in the order of their coming; the same message again counts in `again`."""

    def __init__(self) -> None:
        super().__init__(self._told)
        self.told: dict[str, dict[str, Any]] = {}
        self.again = 0

    def _told(self, got: Got) -> Give:
        name, stamp = got.headers["webhook-id"], got.headers["webhook-timestamp"]
        if got.headers["webhook-signature"] != sign(name, stamp, got.body) or abs(time.time() - int(stamp)) > 300:
            self.wrong.append(f"{name} is not signed")
            return Give(401)
        told = got.json()
        if name != f"{told['approval']}.{told['revision']}" or got.headers["content-type"] != "application/json":
            self.wrong.append(f"{name} is another message")
        self.again += name in self.told
        self.told[name] = told
        return Give(204)

    def about(self, approval: str, state: str) -> dict[str, Any] | None:
        found = [each for each in list(self.told.values()) if (each["approval"], each["state"]) == (approval, state)]
        return found[-1] if found else None


def sign(name: str, stamp: str, body: bytes, key: bytes = KEY) -> str:
    digest = hmac.new(key, f"{name}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def send(url: str, answer: Any, name: str = "", at: float | None = None, key: bytes = KEY) -> httpx.Response:
    """A signed answer; `answer` is the body, or what to encode."""
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    name, stamp = name or f"msg_{time.time_ns()}", str(int(time.time() if at is None else at))
    headers = {"webhook-id": name, "webhook-timestamp": stamp, "webhook-signature": sign(name, stamp, body, key)}
    return Web.post(url, body, headers)
