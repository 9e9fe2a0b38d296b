"""The target: its own process, raw asyncio on httptools, two answers built beforehand. It judges nothing.

Run as `python -m bench.upstream`; prints its port, ends when its stdin does. GET /seen tells what the last POST carried.
"""

import asyncio
import gc
import sys
from typing import cast

import httptools
import uvloop

from .workload import CLEAN_PATH, TARGET_KEY, clean_answer, sensitive_answer


def _http(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


ANSWER = _http(sensitive_answer().body)
CLEAN_ANSWER = _http(clean_answer().body)


class Upstream(asyncio.Protocol):
    """One connection. Answers when a message is complete; looks at nothing but the path."""

    last_post = b""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = cast(asyncio.Transport, transport).write

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"POST"):
            Upstream.last_post = data
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url = url

    def on_message_complete(self) -> None:
        if self._url == b"/seen":
            seen = Upstream.last_post
            self._write(_http(b'{"credential":%d,"token":%d}' % (TARGET_KEY.encode() in seen, b"eyJ" in seen)))
        else:
            self._write(CLEAN_ANSWER if self._url.endswith(CLEAN_PATH.encode()) else ANSWER)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    gc.disable()
    uvloop.run(_serve())
