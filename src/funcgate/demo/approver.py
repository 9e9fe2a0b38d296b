"""The human of the demo: answers a held call with `funcgate approvals`, as a person would, while its caller waits."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence

WITHIN_S = 20.0
PROGRAM = (sys.executable, "-c", "import sys; from funcgate.cli import main; sys.exit(main())")


class Approver:
    """One person with a token, at the console of one gateway. `said` is what the person typed and saw, for the demo to print."""

    def __init__(self, console_url: str, token: str) -> None:
        self._url = console_url
        self._token = token
        self.said: list[tuple[str, str]] = []

    def answer(self, verb: str, reason: str) -> None:
        """`approve` or `reject` the next call that waits. Raises `TimeoutError` when none comes."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            found = json.loads(self._run(["list", "--state", "pending", "--json"]))["approvals"]
            if found:
                break
            if time.monotonic() > deadline:
                raise TimeoutError("no call came to wait for an approval")
            time.sleep(0.1)
        name = found[0]["id"]
        for command in (["show", name], [verb, name, "--reason", reason]):
            self.said.append((" ".join(["funcgate approvals", *map(_quoted, command)]), self._run(command)))

    def _run(self, command: Sequence[str]) -> str:
        where = {"FUNCGATE_TOKEN": self._token, "COLUMNS": "140"}
        done = subprocess.run(  # noqa: S603  # our own program
            [*PROGRAM, "approvals", *command, "--url", self._url],
            env={**os.environ, **where}, capture_output=True, text=True, timeout=WITHIN_S, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"funcgate approvals {command[0]}: {done.stderr.strip()}")
        return done.stdout.rstrip()


def _quoted(word: str) -> str:
    return f"'{word}'" if " " in word else word
