"""Imports the gateway, then forks one process for each order that comes; see support/forked.py.

A process of its own with one thread: forking where other threads run, as pytest's may, would copy locks that they hold. It
must make nothing of its own that processes may not share: no loop, no connection, no name of a call.
"""

import gc
import json
import os
import selectors
import signal
import socket
import sys

import httpcore  # noqa: F401
import litestar.plugins.attrs
import litestar.plugins.pydantic  # noqa: F401
import typer._adapters  # noqa: F401
import uvicorn.protocols.utils  # noqa: F401

import funcgate.app.serving
import funcgate.cli.commands
import funcgate.cli.serve
import funcgate.recording.index  # noqa: F401
from funcgate.cli import main

_MAX_BYTES = 1 << 16


def serve(control: socket.socket) -> dict[str, object]:
    """Returns in the forked processes only, with the order. Ends when nobody can send one any more."""
    watched = selectors.DefaultSelector()
    watched.register(control, selectors.EVENT_READ)
    while True:
        for key, _ in watched.select():
            if key.fileobj is not control:
                watched.unregister(key.fileobj)
                _end(*key.data)
                os.close(key.fd)
                continue
            order, files, _, _ = socket.recv_fds(control, _MAX_BYTES, 3)
            if not order:
                sys.exit()
            said, out, error = files
            pid = os.fork()
            if pid == 0:
                os.dup2(out, 1)
                os.dup2(error, 2)
                _close([control.detach(), said, out, error], watched)
                found: dict[str, object] = json.loads(order)
                return found
            for file in (out, error):
                os.close(file)
            os.write(said, str(pid).encode())
            watched.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, said))


def _close(files: list[int], watched: selectors.DefaultSelector) -> None:
    """What belongs to the parent alone, the ends of other forks among it."""
    for key in watched.get_map().values():
        if key.data:
            files += [key.fd, key.data[1]]
    watched.close()
    for file in files:
        os.close(file)


def _end(pid: int, said: int) -> None:
    """Hands the exit status on, as `subprocess` counts it."""
    _, status = os.waitpid(pid, 0)
    try:
        os.write(said, str(os.waitstatus_to_exitcode(status)).encode())
    except ConnectionError:
        pass  # nobody asks any more
    finally:
        os.close(said)


if __name__ == "__main__":
    gc.collect()
    gc.freeze()
    given = serve(socket.socket(fileno=int(sys.argv[1])))
    gc.unfreeze()
    os.environ.clear()
    os.environ.update(given["environment"])  # type: ignore[call-overload]
    os.chdir(given["folder"])  # type: ignore[arg-type]
    sys.argv = ["funcgate", *given["arguments"]]  # type: ignore[misc]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
