"""One demo that stays up for all acceptance tests, started as a newcomer starts it: in a folder with nothing in it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

FUNCGATE = Path(sys.executable).with_name("funcgate")
UP_S, DOWN_S = 60.0, 20.0


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a running demo, with all that it printed in printed.txt."""
    folder = tmp_path_factory.mktemp("demo")
    with (folder / "printed.txt").open("wb") as printed:
        process = subprocess.Popen(
            [FUNCGATE, "demo"], cwd=folder, stdout=printed, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            env={**os.environ, "COLUMNS": "150"},
        )  # fmt: skip
    try:
        wait_until_up(process, folder / "printed.txt")
        yield folder
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(DOWN_S) == 0, (folder / "printed.txt").read_text()
        finally:
            process.kill()


@pytest.fixture(scope="session")
def addresses(demo_folder: Path) -> dict[str, str]:
    """The running demo's URLs: calls, console, provider, payments."""
    read = json.loads((demo_folder / ".demo" / "addresses.json").read_bytes())
    return {name: read[name] for name in ("calls", "console", "provider", "payments")}


def wait_until_up(process: subprocess.Popen[bytes], printed: Path) -> None:
    deadline = time.monotonic() + UP_S
    while "Ctrl-C ends it" not in printed.read_text():
        assert process.poll() is None, f"the demo ended with {process.returncode}:\n{printed.read_text()}"
        assert time.monotonic() < deadline, f"the demo is not up after {UP_S:.0f} s:\n{printed.read_text()}"
        time.sleep(0.05)
