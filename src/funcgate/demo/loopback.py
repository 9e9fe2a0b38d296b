"""Serving the demo's applications: uvicorn on 127.0.0.1 and nowhere else."""

import argparse
import logging
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
    """The `main` of a demo application: reads `--port`, makes the application for its own URL and serves it."""
    parser = argparse.ArgumentParser(description=f"{what}, for development only. Listens on {HOST}.")
    parser.add_argument("--port", type=int, default=port, help="default: %(default)s")
    chosen: int = parser.parse_args().port
    server(make(f"http://{HOST}:{chosen}"), chosen).run()
