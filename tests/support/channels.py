"""A gateway whose orders are held, the people around it, and what its journal says of answers."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from support.authority import Authority
from support.gate import Gate, until
from support.target import Target

PEOPLE = [
    {"id": "U-BOB", "issuer": "corp", "subject": "bob", "groups": ["finance"]},
    {"id": "U-CAROL", "issuer": "corp", "subject": "carol", "groups": ["finance"]},
    {"id": "U-EVE", "issuer": "corp", "subject": "eve", "groups": ["sales"]},
    {"id": "U-AGENT", "issuer": "corp", "subject": "agent-7", "groups": ["finance"]},
]
FUNCTIONS: list[dict[str, Any]] = [
    {
        "name": name, "http": f"POST /{name}",
        "args": {"amount": {"type": "number", "required": True}, "note": "string", "extra": {}},
    }
    for name in ("order", "quick", "both")
]  # fmt: skip


def _held(name: str, **terms: Any) -> dict[str, Any]:
    return {
        "name": f"{name} held", "effect": "require_approval", "functions": [f"shop.{name}"],
        "principals": ["group:agents"], "approval": {"approvers": ["group:finance"], "expires": "10m"} | terms,
    }  # fmt: skip


CHANGES: dict[str, Any] = {
    "policies": [_held("order"), _held("quick", expires="1s"), _held("both", count=2)],
    "target": {"limits": {"max_wait": "25s"}},
    "masking": [{"functions": ["shop.*"], "detect": ["email"]}],
}


def secret(folder: Path, name: str, value: str) -> str:
    """A file with a secret, as the configuration names it."""
    path = folder / name
    path.write_text(value)
    path.chmod(0o600)
    return f"file:{path}"


class Room:
    def __init__(self, gate: Gate, authority: Authority, target: Target) -> None:
        self.gate, self.target = gate, target
        self._agent = authority.token("agent-7")
        self._bob = authority.token("bob", ("finance",))
        self._callers = ThreadPoolExecutor(4)

    def call(self, name: str = "order", wait: int = 0, **args: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self._agent}", "prefer": f"wait={wait}"}
        return httpx.post(f"{self.gate.url}/shop/{name}", json={"amount": 250} | args, headers=headers, timeout=40)

    def calling(self, name: str = "order", **args: Any) -> Future[httpx.Response]:
        """A caller that waits."""
        return self._callers.submit(self.call, name, 20, **args)

    def held(self, name: str = "order", **args: Any) -> str:
        """An approval that nobody waits for."""
        answer = self.call(name, **args)
        assert answer.status_code == 403, answer.text
        return str(answer.json()["approval"]["id"])

    def state(self, approval: str) -> str:
        url = f"http://127.0.0.1:{self.gate.console}/api/v1/approvals/{approval}"
        return str(httpx.get(url, headers={"authorization": f"Bearer {self._bob}"}).json()["state"])

    def channel(self, name: str) -> str:
        """Where answers come in."""
        return f"http://127.0.0.1:{self.gate.console}/channels/{name}"

    def refusals(self) -> list[dict[str, Any]]:
        return [each for each in self.gate.entries() if each["kind"] == "answered" and each["outcome"] == "refused"]

    def refusing(self, answer: Callable[[], httpx.Response]) -> tuple[httpx.Response, dict[str, Any]]:
        """The answer, which must not count: nothing runs, and exactly one entry says why."""
        time.sleep(0.1)  # ten a second are recorded each, more are counted
        before, ran = len(self.refusals()), len(self.target.ledger)
        said = answer()
        (entry,) = until(lambda: self.refusals()[before:])
        assert len(self.target.ledger) == ran
        return said, entry

    def ran(self, name: str = "order") -> int:
        return len(self.target.seen(f"/{name}"))
