"""uvicorn inside the gateway's loop, under the gateway's signals: it serves, and does not run the process."""

import asyncio
import contextlib
import socket
from collections.abc import Generator
from typing import Any

import uvicorn


class ConsoleServer:
    """One console on one socket that is bound already."""

    def __init__(self, application: Any, bound: socket.socket) -> None:
        config = uvicorn.Config(
            application, lifespan="off", log_config=None, log_level="warning", access_log=False, ws="none",
            server_header=False, proxy_headers=False, timeout_keep_alive=30, limit_concurrency=100,
            timeout_graceful_shutdown=2,
        )  # fmt: skip
        self._server = _Quiet(config)
        self._bound = bound
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        return int(self._bound.getsockname()[1])

    def start(self) -> None:
        self._task = asyncio.create_task(self._server.serve(sockets=[self._bound]), name="console")

    async def close(self) -> None:
        """Stop serving; open connections get two seconds."""
        self._server.should_exit = True
        if self._task is not None:
            await asyncio.wait([self._task], timeout=5)
        self._bound.close()


class _Quiet(uvicorn.Server):
    """uvicorn takes over SIGTERM and SIGINT, and raises them again at its end; here they are the gateway's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; IPv4 or IPv6, whichever the host is. Raises `OSError` when the address cannot be had."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(128)
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound
