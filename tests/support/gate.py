"""A real `funcgate serve` process with a configuration of the test's own."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAML

from support import forked
from support.authority import ISSUER, Authority
from support.forked import FUNCGATE, Process
from support.workers import with_workers, workers_of

T = TypeVar("T")
CANARY = "canary-7f3a9c51e2b84d06"
_DICE = random.SystemRandom()


def until(condition: Callable[[], T], timeout_s: float = 30.0) -> T:
    """Wait until the condition is true, and return what it said; fail when it stays false."""
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"still not true after {timeout_s} s")
        time.sleep(0.01)


def free_port() -> int:
    """A port that is free now, for an address that has to be in the configuration. It is none of those that the system gives
    to sockets by itself, if there are others: one of these may be another's before the address is listened at."""
    first_given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = _DICE.randrange(10_000, first_given) if first_given > 20_000 else 0
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)) as held:
            return int(held.getsockname()[1])


def settings(authority: Authority, target_url: str, functions: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """A configuration with one target ``shop``; `changes` replace top-level keys, `target` adds to the target."""
    target = {"name": "shop", "protocol": "http", "url": target_url, "functions": functions}
    target["credential"] = {"type": "bearer", "secret": "env:SHOP_KEY"}
    target |= changes.pop("target", {})
    base: dict[str, Any] = {
        "listen": {"calls": "127.0.0.1:0", "console": "127.0.0.1:0"},
        "issuers": [
            {"name": "corp", "issuer": ISSUER, "audience": "funcgate", "jwks_file": str(authority.jwks_file)},
        ],
        "targets": [target],
        "policies": [{"name": "agents", "effect": "allow", "functions": ["shop.*"], "principals": ["group:agents"]}],
    }
    return base | changes


class Gate:
    """The process, its ports, its journal."""

    def __init__(self, folder: Path, configuration: dict[str, Any]) -> None:
        self.folder = folder
        self.file = folder / "funcgate.yaml"
        self.data = folder / "data"
        self.log = folder / "log.txt"
        self.write({"data_dir": str(self.data)} | configuration)
        self.process: Process | None = None
        self.calls = 0
        self.console = 0

    def write(self, configuration: dict[str, Any]) -> None:
        """With as many workers as the environment says, if the configuration says nothing of them."""
        with self.file.open("w") as out:
            YAML().dump(with_workers(configuration), out)

    def start(self, *prefix: str, ready: bool = True) -> "Gate":
        """`prefix` is a command to run the gateway under (strace, say)."""
        self.log.unlink(missing_ok=True)
        command, environment = ["serve", "--config", str(self.file)], os.environ | {"SHOP_KEY": CANARY}
        with self.log.open("ab") as log:
            if prefix:
                command = [*prefix, str(FUNCGATE), *command]
                self.process = subprocess.Popen(command, stderr=log, stdout=log, env=environment)
            else:
                self.process = forked.start(command, environment, log)
        try:
            self._wait_until_it_serves(self.process, ready)
        except AssertionError:
            self.kill()
            raise AssertionError(f"the gateway did not start:\n{self.log.read_text()[-3000:]}") from None
        return self

    def _wait_until_it_serves(self, process: Process, ready: bool) -> None:
        until(lambda: self._read_ports() or process.poll() is not None, 60)
        assert process.poll() is None
        if ready:
            until(self._is_whole)

    def _is_whole(self) -> bool:
        status, text = self.get_console("/readyz")
        return status == 200 and "workers cannot take calls" not in text

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The structured log lines of one kind; the last may not be whole yet."""
        whole, _, _ = self.log.read_bytes().rpartition(b"\n")
        lines = [line for line in whole.splitlines() if line.startswith(b"{")]
        return [entry for entry in map(json.loads, lines) if entry.get("event") == event]

    def _read_ports(self) -> bool:
        for entry in self.logged("serving"):
            self.calls, self.console = (int(entry[name].rpartition(":")[2]) for name in ("calls", "console"))
            return True
        return False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.calls}"

    def get_console(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.console}{path}", timeout=5) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def workers(self) -> list[int]:
        """The processes that carry calls, if they are not the gateway's own one."""
        assert self.process is not None
        return workers_of(self.process.pid)

    def kill(self) -> None:
        """As by `kill -9`."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self, timeout_s: float = 60) -> int:
        """As by the service manager: SIGTERM, then wait."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def entries(self, naming: bytes = b"") -> list[dict[str, Any]]:
        """All lines of the journal that are whole, or those that name something. A shared gateway has thousands."""
        lines: list[dict[str, Any]] = []
        for segment in sorted((self.data / "journal").glob("*.jsonl")):
            for line in segment.read_bytes().splitlines(keepends=True):
                # Zeros: what is being written, of which the kernel shows a later page before an earlier one.
                if naming in line and line.endswith(b"\n") and b"\0" not in line:
                    lines.append(json.loads(line))
        return lines

    def call_entries(self, call_id: str) -> list[dict[str, Any]]:
        return [entry for entry in self.entries(call_id.encode()) if entry["call"] == call_id]

    def ended(self, call_id: str) -> dict[str, Any]:
        """The call's last entry, once it is there."""
        return until(lambda: next((e for e in self.call_entries(call_id) if e["kind"] == "ended"), None))
