"""The demo's folder and addresses: ``./.demo/`` with a copy of the example configuration and ports that are free.

It refuses a folder that it did not make, and one that another demo is using. Two demos never share a port: each
listens on its own from the moment that they are chosen.
"""

import fcntl
import os
import re
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from secrets import token_urlsafe

import msgspec
from msgspec import Struct

from .loopback import HOST

PREFERRED: Mapping[str, int] = {"calls": 8080, "console": 8090, "provider": 8091, "payments": 8092}
EXAMPLES = Path(__file__).with_name("examples")
CONFIG, OPENAPI, DATA, LOGS = "funcgate.yaml", "payments.openapi.yaml", "funcgate-data", "logs"
STEPS = 10
MARK, ADDRESSES = "made-by-funcgate-demo", "addresses.json"


class StageError(Exception):
    """The demo cannot be set up here. Says why and what to do."""


class Stage(Struct, frozen=True):
    """Where this demo lives. `urls` are by the names in PREFERRED; `api_key` is the payments service's, made anew.

    `listening` are the sockets that hold the ports until whoever serves there takes over.
    """

    folder: Path
    urls: Mapping[str, str]
    listening: Mapping[str, socket.socket]
    api_key: str
    lock: int

    @property
    def config(self) -> Path:
        return self.folder / CONFIG

    @property
    def journal(self) -> Path:
        return self.folder / DATA / "journal"

    def __repr__(self) -> str:
        return f"Stage({self.folder})"

    def close(self) -> None:
        """Give up the folder and the ports that are still held."""
        for held in self.listening.values():
            held.close()
        os.close(self.lock)

    def announce(self) -> None:
        """Write `addresses.json`, for programs that want to use the running demo. It holds no secret."""
        body = msgspec.json.format(msgspec.json.encode({**self.urls, "pid": os.getpid()}))
        (self.folder / ADDRESSES).write_bytes(body + b"\n")


def set_stage(folder: Path) -> Stage:
    """Make or empty the folder, fill it, and listen on the ports. Raises `StageError`."""
    lock = _claim(folder)
    listening = reserve(PREFERRED)
    ports = {name: held.getsockname()[1] for name, held in listening.items()}
    (folder / LOGS).mkdir()
    spelled = {f"{HOST}:{port}": f"{HOST}:{ports[name]}" for name, port in PREFERRED.items()}
    defaults = re.compile("|".join(rf"{re.escape(address)}\b" for address in spelled))
    for name in (CONFIG, OPENAPI):
        text = (EXAMPLES / name).read_text(encoding="utf-8")
        (folder / name).write_text(defaults.sub(lambda found: spelled[found[0]], text), encoding="utf-8")
    urls = {name: f"http://{HOST}:{port}" for name, port in ports.items()}
    return Stage(folder, urls, listening, f"pay_{token_urlsafe(24)}", lock)


def reserve(preferred: Mapping[str, int]) -> dict[str, socket.socket]:
    """Listen on the preferred ports; if one of them is taken on all of them plus 100, plus 200 …; else on any."""
    for step in range(0, STEPS * 100, 100):
        held = _listen_on_all([port + step for port in preferred.values()])
        if held is not None:
            return dict(zip(preferred, held, strict=True))
    held = _listen_on_all([0] * len(preferred))
    if held is None:
        raise StageError(f"no port of {HOST} is free")
    return dict(zip(preferred, held, strict=True))


def _listen_on_all(ports: list[int]) -> list[socket.socket] | None:
    held: list[socket.socket] = []
    for port in ports:
        held.append(one := socket.socket())
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((HOST, port))
            one.listen()
        except (OSError, OverflowError):
            for other in held:
                other.close()
            return None
    return held


def _claim(folder: Path) -> int:
    """Lock the folder, then empty it of what an earlier demo left. The lock ends with this process."""
    # Attack: a .demo that is a link elsewhere, or somebody's own folder, must not be emptied.
    if folder.is_symlink() or (folder.exists() and not (folder / MARK).is_file() and any(folder.iterdir())):
        raise StageError(f"{folder} was not made by the demo: move it away, or start the demo in another folder")
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(folder / MARK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise StageError(f"another demo is running in {folder}: end it, or start this one in another folder") from None
    for left in (DATA, LOGS):
        shutil.rmtree(folder / left, ignore_errors=True)
    for left in (CONFIG, OPENAPI, ADDRESSES):
        (folder / left).unlink(missing_ok=True)
    return lock
