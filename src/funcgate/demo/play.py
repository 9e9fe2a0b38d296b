"""The demo from start to end: set the stage, start the processes, play the scenario, tell what the journal says.

It starts real programs (`funcgate serve` among them) and speaks to them over HTTP only.
"""

import shutil
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape

from funcgate.core.principal import RawToken
from funcgate.recording.reader import read_entries

from . import show
from .approver import Approver
from .children import ChildFailed, Children
from .payments import KEY_VARIABLE
from .record import Told, told_of
from .scenario import STEPS, Tried, Wallet, attempt, complaints
from .stage import LOGS, Stage, StageError, set_stage

FOLDER = ".demo"
READY_TOKEN_S = 8 * 3600
SERVE = "import sys; from funcgate.cli import main; sys.exit(main())"


def play(once: bool) -> int:
    """Play it in ``./.demo/``. Returns 0 when every step came out as expected, else 1 after saying what did not."""
    out = show.console()
    try:
        with closing(set_stage(Path.cwd() / FOLDER)) as stage, Children(stage.folder / LOGS) as children:
            return _played(stage, children, out, once)
    except (StageError, ChildFailed, httpx.HTTPError) as failed:
        out.print(f"[red]The demo failed:[/] {escape(str(failed))}")
        return 1
    except KeyboardInterrupt:
        out.print("Stopped.")
        return 1


def _played(stage: Stage, children: Children, out: Console, once: bool) -> int:
    began = time.monotonic()
    _start(stage, children)
    started = time.monotonic()
    with httpx.Client(timeout=40, trust_env=False) as client:
        wallet = Wallet(stage.urls["provider"], client)
        failures = _scenario(stage, client, wallet, out)
        ended = time.monotonic()
        out.print(f"Started in {started - began:.1f} s, played in {ended - started:.1f} s. Files are in {FOLDER}/")
        for failure in failures:
            out.print(f"[red]NOT AS EXPECTED:[/] {escape(failure)}")
        if failures:
            return 1
        out.print(f"[green]All {len(STEPS)} steps came out as expected.[/]")
        if once:
            return 0
        ready = wallet.token("payments-agent", "ready", READY_TOKEN_S)
    _farewell(stage, ready, out)
    return _stay(children, out)


def _start(stage: Stage, children: Children) -> None:
    """All three processes. The provider first: the gateway fetches its keys at the start."""
    secret, listening = {KEY_VARIABLE: stage.api_key}, stage.listening
    children.start("provider", ["-m", "funcgate.demo.provider"], {}, listening["provider"])
    children.start("payments", ["-m", "funcgate.demo.payments"], secret, listening["payments"])
    children.wait_for("provider", f"{stage.urls['provider']}/.well-known/openid-configuration")
    for name in ("calls", "console"):
        listening[name].close()  # the gateway listens there by itself
    children.start("gateway", ["-c", SERVE, "serve", "--config", str(stage.config)], secret)
    children.wait_for("payments", f"{stage.urls['payments']}/whoami", statuses=(401,))
    children.wait_for("gateway", f"{stage.urls['console']}/readyz")


def _scenario(stage: Stage, client: httpx.Client, wallet: Wallet, out: Console) -> list[str]:
    """Play all steps and print what came of them. Returns what was not as expected."""
    approver = Approver(stage.urls["console"], wallet.token("finance-lead"))
    tries = [attempt(step, stage.urls["calls"], client, wallet, approver) for step in STEPS]
    told = told_of(stage.journal, [tried.call_id for tried in tries])
    played = [(tried, told[tried.call_id]) for tried in tries]
    out.print(show.scenario_table(played))
    key = {"Authorization": f"Bearer {stage.api_key}"}
    by_name = {tried.step.name: tried for tried in tries}
    masked = by_name["masked answer"]
    sent = client.get(f"{stage.urls['payments']}/customers/c-1001", headers=key).json()
    out.print(show.side_by_side(sent, masked.answer))
    token = RawToken(wallet.token("payments-agent").encode()).fingerprint
    seen, echoed = by_name["whose credential"].answer, by_name["credential echoed"].answer
    if isinstance(seen, dict) and isinstance(echoed, dict):
        out.print(show.credentials_table(token, str(seen.get("fingerprint")), str(echoed.get("credential"))))
    out.print(show.terminal("Meanwhile, at finance-lead's terminal", approver.said))
    out.print(show.journal_table(read_entries(stage.journal)))
    out.print("One of these lines, as it is in the file:")
    out.print(show.one_line(told[masked.call_id].entries[-1]))
    reached = client.get(f"{stage.urls['payments']}/ledger", headers=key).json()["lines"]
    failures = [f"{tried.step.name}: {text}" for tried, one in played for text in _judge(tried, one, stage, wallet)]
    return failures + _reached(reached, tries, out)


def _judge(tried: Tried, told: Told, stage: Stage, wallet: Wallet) -> list[str]:
    """What was not as expected in one step: in the reply, and in the journal."""
    step = tried.step
    token = "" if step.token == "none" else wallet.token(step.caller, step.token)  # noqa: S105
    found = complaints(tried, stage.api_key, token)
    decided = "held" if step.prefer else "allowed" if not step.code else "denied"
    if told.decided != decided:
        found.append(f"the journal says {told.decided or 'nothing'!r}, expected {decided!r}")
    if not told.closed:
        found.append("the journal never closed the call")
    if (told.function, told.code) != (step.function, step.code):
        found.append(
            f"the journal names {told.function or 'no function'} {told.code}, expected {step.function} {step.code}"
        )
    return found


def _reached(lines: list[dict[str, Any]], tries: list[Tried], out: Console) -> list[str]:
    """Compare the target's own ledger with what the scenario was allowed. Its last line is the demo's own look."""
    allowed = [f"{tried.step.method} {tried.step.path.removeprefix('/payments')}" for tried in tries if not tried.code]
    seen = [f"{line['method']} {line['path']}" for line in lines][:-1]
    if seen != allowed:
        return [f"the payments service received {seen}, but funcgate let through {allowed}"]
    out.print(
        f"By the payments service's own ledger {len(seen)} of the {len(tries)} calls reached it: the {len(allowed)} "
        "that were allowed and no other."
    )
    return []


def _farewell(stage: Stage, token: str, out: Console) -> None:
    """Addresses, a token and lines to paste."""
    calls = f"{stage.urls['calls']}/payments"
    auth = '-H "Authorization: Bearer $TOKEN"'
    json = "-H 'Content-Type: application/json' -d"
    lines = [
        f"export TOKEN={token}",
        f"curl -s {auth} {calls}/customers/c-1002",
        f'curl -s {auth} {json} \'{{"to": "c-1001", "amount": 40, "currency": "EUR"}}\' {calls}/transfers',
        f'curl -s {auth} -H "Prefer: wait=5" {json} \'{{"to": "c-1001", "amount": 40000, "currency": "EUR"}}\' {calls}/transfers',
        f"curl -s {auth} -X DELETE {calls}/customers/c-1002",
    ]
    out.print()
    for name, what in (("calls", "the gateway, for callers"), ("console", "the gateway's console: approvals, /readyz, /metrics"),
                       ("provider", "the development OpenID provider"), ("payments", "the sample payments service")):  # fmt: skip
        out.print(f"  {stage.urls[name]:<24} {what}")
    out.print("\nA token of payments-agent, good for eight hours, and calls to paste into another terminal:\n")
    for line in lines:
        out.print(line, soft_wrap=True, highlight=False, markup=False)
    out.print(f"\nThen look at the record: {_program()} audit list --config {FOLDER}/{stage.config.name}")
    out.print(f"Answer the held call in a browser, as finance-lead: {stage.urls['console']}/approvals")
    stage.announce()
    out.print("The demo stays up. Ctrl-C ends it.")
    sys.stdout.flush()


def _program() -> str:
    """How to call funcgate from here: by its name where that is on the path, else by its place."""
    here = Path(sys.argv[0]).resolve()
    if shutil.which("funcgate") or here.name != "funcgate":
        return "funcgate"
    return str(here.relative_to(Path.cwd())) if here.is_relative_to(Path.cwd()) else str(here)


def _stay(children: Children, out: Console) -> int:
    """Wait for Ctrl-C (0), or for a child to end by itself (1)."""
    try:
        while not (ended := children.ended()):
            time.sleep(0.2)
    except KeyboardInterrupt:
        return 0
    out.print(f"[red]The {ended} process has ended by itself; its log is in {FOLDER}/logs/{ended}.log[/]")
    return 1
