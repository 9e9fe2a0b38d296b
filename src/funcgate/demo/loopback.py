"""Serving the demo's applications: uvicorn on 127.0.0.1 and nowhere else."""

import argparse
import logging
import socket
from collections.abc import Callable

import uvicorn
from litestar import Litestar

HOST = "127.0.0.1"


def server(app: Litestar, port: int) -> uvicorn.Server:
    """A server for the application, quiet, with the limits of a development service. Call its `run()`."""
    config = uvicorn.Config(
        app, host=HOST, port=port, log_level=logging.WARNING, access_log=False, timeout_graceful_shutdown=2
    )
    return uvicorn.Server(config)


def serve_main(what: str, port: int, make: Callable[[str], Litestar]) -> None:
    """The `main` of a demo application: makes it for its own URL and serves it.

    Reads `--port`, or `--fd` for a socket that listens already and is inherited.
    """
    parser = argparse.ArgumentParser(description=f"{what}, for development only. Listens on {HOST}.")
    parser.add_argument("--port", type=int, default=port, help="default: %(default)s")
    parser.add_argument("--fd", type=int, help="serve on this inherited socket instead")
    chosen = parser.parse_args()
    if chosen.fd is None:
        server(make(f"http://{HOST}:{chosen.port}"), chosen.port).run()
        return
    inherited = socket.socket(fileno=chosen.fd)
    own_port: int = inherited.getsockname()[1]
    server(make(f"http://{HOST}:{own_port}"), own_port).run(sockets=[inherited])
