"""One request of a channel to its service: bounded in time and size, no redirect followed, no proxy setting read."""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
from msgspec import Struct

from .channel import NotTold

TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 256 << 10


class Answer(Struct, frozen=True):
    """`pause_s` is what the service asks for, 0 if it asks for none."""

    status: int
    body: bytes
    pause_s: float

    def read(self) -> dict[str, Any]:
        """The body as a JSON object; empty if it is none."""
        try:
            found = msgspec.json.decode(self.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


def client() -> httpx.AsyncClient:
    """For `send`."""
    return httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False)


async def send(
    by: httpx.AsyncClient, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float = TIMEOUT_S
) -> Answer:
    """The answer, whatever its status. Raises `NotTold` when there is none."""
    # Attack: a service that answers a byte at a time, or without end, and holds up what others are to be told.
    sent = {"accept-encoding": "identity", "user-agent": "funcgate", **headers}
    try:
        async with asyncio.timeout(timeout_s), by.stream(method, url, content=body, headers=sent) as answer:
            read = bytearray()
            async for piece in answer.aiter_raw():
                read += piece
                if len(read) > MAX_ANSWER_BYTES:
                    raise NotTold(f"{place(url)} answers with more than {MAX_ANSWER_BYTES} bytes")
            return Answer(answer.status_code, bytes(read), _pause_of(answer.headers.get("retry-after", "")))
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
        raise NotTold(f"{place(url)} cannot be reached ({type(error).__name__})") from None


def place(url: str) -> str:
    """An address without path and query, which may hold a token."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _pause_of(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0.0
