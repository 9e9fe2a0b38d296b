"""The keeper beside a real gateway: it proves the last line, dies as often as it likes, and leaves nobody behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

from funcgate.recording.inbox import order
from funcgate.recording.proof import latest_size
from support.authority import Authority
from support.gate import CANARY, Gate, settings, until
from support.target import Target

FUNCTIONS = [{"name": "read", "http": "GET /read"}, {"name": "other", "http": "GET /other"}]
DENY = {"name": "closed", "effect": "deny", "functions": ["shop.read"], "principals": ["*"]}


@pytest.fixture(scope="module")
def gate(authority: Authority, shared_target: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    changes: dict[str, Any] = {"proof": {"every": "100ms"}}
    gate = Gate(tmp_path_factory.mktemp("keeper"), settings(authority, shared_target.url, FUNCTIONS, **changes)).start()
    yield gate
    gate.kill()


def get(gate: Gate, token: str) -> int:
    return httpx.get(
        gate.url + "/shop/read", headers={"authorization": f"Bearer {token}"}, trust_env=False, timeout=30
    ).status_code


def metric(gate: Gate, name: str) -> float:
    lines = gate.get_console("/metrics")[1].splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(f"{name} ")), -1)


def keepers(gate: Gate) -> list[int]:
    """The processes that the gateway started and that are alive."""
    assert gate.process is not None
    found = []
    for task in Path(f"/proc/{gate.process.pid}/task").iterdir():
        with suppress(OSError):
            found += [int(word) for word in (task / "children").read_text().split()]
    return [number for number in found if "funcgate.cli.keep" in command(number)]


def command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def caught_up(gate: Gate) -> bool:
    lag = [metric(gate, f'funcgate_keeper_lag_entries{{chore="{chore}"}}') for chore in ("proof", "index", "archive")]
    return lag == [0.0, 0.0, 0.0]


def admin(gate: Gate, what: str) -> list[dict[str, Any]]:
    found = [entry for entry in gate.entries() if entry["kind"] == "admin"]
    return [entry for entry in found if entry.get("change", {}).get("what") == what]


def test_it_follows_and_shows_no_secret(gate: Gate, token: str) -> None:
    assert get(gate, token) == 200
    until(lambda: caught_up(gate))
    until(lambda: latest_size(gate.data) > 0)
    until(lambda: metric(gate, "funcgate_keeper_checkpoint_age_seconds") >= 0)
    assert metric(gate, "funcgate_keeper_up") == 1
    assert json.loads(gate.get_console("/readyz")[1])["warnings"] == []
    (keeper,) = keepers(gate)
    assert CANARY not in command(keeper)
    assert CANARY.encode() not in Path(f"/proc/{keeper}/environ").read_bytes()


@pytest.mark.slow
def test_killed_again_and_again_no_call_notices(gate: Gate, token: str) -> None:
    for _ in range(2):
        (keeper,) = until(lambda: keepers(gate))
        before = metric(gate, "funcgate_keeper_restarts_total")
        os.kill(keeper, signal.SIGKILL)
        until(lambda n=before: metric(gate, "funcgate_keeper_restarts_total") == n + 1)
        assert get(gate, token) == 200
        assert json.loads(gate.get_console("/readyz")[1])["ready"]
        until(lambda: metric(gate, "funcgate_keeper_up") == 1)
        until(lambda: caught_up(gate))
    assert latest_size(gate.data) > 0


def test_a_second_keeper_refuses_and_the_first_goes_on(gate: Gate, token: str) -> None:
    begin = {"type": "begin", "settings": {"data_dir": str(gate.data)}, "durable": 10**6, "lock_wait_s": 0.0}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "funcgate.cli.keep"], input=json.dumps(begin).encode() + b"\n", capture_output=True
    )
    assert done.returncode == 1
    assert b"another keeper holds" in done.stdout
    assert get(gate, token) == 200
    until(lambda: caught_up(gate))


def test_a_start_says_with_which_configuration(gate: Gate) -> None:
    (start,), (text,) = admin(gate, "start"), admin(gate, "configuration")
    assert start["change"]["new"] == text["change"]["new"]
    assert text["change"]["text"] == gate.file.read_text()
    assert "env:SHOP_KEY" in text["change"]["text"]
    assert start["change"]["by"]["via"] == "process"
    assert start["change"]["by"]["pid"] == gate.process.pid  # type: ignore[union-attr]


def edited(gate: Gate, edit: Callable[[dict[str, Any]], None]) -> str:
    before = gate.file.read_text()
    configuration = YAML(typ="safe", pure=True).load(before)
    edit(configuration)
    gate.write(configuration)
    return before


def hang_up(gate: Gate) -> None:
    assert gate.process is not None
    gate.process.send_signal(signal.SIGHUP)


def test_a_reload_says_what_changed_and_who_did_it(gate: Gate, token: str) -> None:
    before = edited(gate, lambda file: file["policies"].append(DENY))
    hang_up(gate)
    until(lambda: get(gate, token) == 403)
    change = admin(gate, "configuration")[-1]["change"]
    assert change["changes"] == [{"where": "policies[closed]", "change": "added", "after": DENY}]
    assert change["by"]["via"] == "signal"
    assert change["text"] == gate.file.read_text()
    gate.file.write_text(before)
    until(lambda: get(gate, token) == 200)
    change = admin(gate, "configuration")[-1]["change"]
    assert change["changes"] == [{"where": "policies[closed]", "change": "removed", "before": DENY}]
    assert change["by"]["via"] == "file"


def test_a_reload_reaches_the_keeper(gate: Gate) -> None:
    before = edited(gate, lambda file: file.update(index={"enabled": False}))
    hang_up(gate)
    gone = 'funcgate_keeper_position{chore="index"}'
    until(lambda: metric(gate, gone) == -1)
    (keeper,) = keepers(gate)
    gate.file.write_text(before)
    hang_up(gate)
    until(lambda: metric(gate, gone) > 0)
    assert keepers(gate) == [keeper]


def test_what_needs_a_restart(gate: Gate) -> None:
    before = edited(gate, lambda file: file.update(proof={"origin": "other.example", "every": "100ms"}))
    hang_up(gate)
    until(lambda: metric(gate, "funcgate_config_reload_failed") == 1)
    (problem,) = until(lambda: admin(gate, "configuration")[-1]["change"].get("problems"))
    assert problem.endswith("a change of proof.origin needs a restart")
    gate.file.write_text(before)
    hang_up(gate)
    until(lambda: metric(gate, "funcgate_config_reload_failed") == 0)


def test_an_order_becomes_an_entry_with_its_owner(gate: Gate) -> None:
    made = order(gate.data, {"what": "hold", "session": "s1", "by": {"user": "somebody else"}})
    (entry,) = until(lambda: admin(gate, "hold"))
    assert (entry["change"]["session"], entry["change"]["order"]) == ("s1", made)
    assert entry["change"]["by"]["via"] == "inbox"
    assert entry["change"]["by"]["uid"] == os.getuid()
    assert entry["change"]["by"]["user"] != "somebody else"
    until(lambda: not list((gate.data / "inbox").glob("*.json")))


def test_rubbish_in_the_inbox_is_set_aside(gate: Gate, tmp_path: Path) -> None:
    inbox = gate.data / "inbox"
    inbox.mkdir(exist_ok=True)
    last = gate.entries()[-1]["seq"]
    for number, data in enumerate((b"{", b"\xff", b'{"what":"start"}', b"x" * 100_000)):
        beside = tmp_path / str(number)
        beside.write_bytes(data)
        beside.chmod(0o600)
        beside.rename(inbox / f"01JD000000000000000000000{number}.json")
    (inbox / "01JD0000000000000000000009.json").symlink_to("/etc/passwd")
    (inbox / "notes.txt").write_text("not for you")
    order(gate.data, {"what": "release", "id": "h1"})  # comes after them, and comes through
    until(lambda: admin(gate, "release"))
    assert len(list((inbox / "refused").iterdir())) == 5
    assert (inbox / "notes.txt").read_text() == "not for you"
    new = [entry for entry in gate.entries() if entry["seq"] > last]
    assert [entry["change"]["what"] for entry in new if entry["kind"] == "admin"] == ["release"]
    assert len(gate.logged("an order was refused")) == 5
    assert gate.logged("this is no order; it is left alone")


def test_the_proof_covers_the_last_line_and_nobody_is_left(gate: Gate, token: str) -> None:
    assert get(gate, token) == 200
    (keeper,) = until(lambda: keepers(gate))
    until(lambda: caught_up(gate))  # one that had only begun might be killed for not ending in time
    assert gate.stop() == 0
    last = gate.entries()[-1]
    assert (last["kind"], last["change"]["what"]) == ("admin", "stop")
    assert latest_size(gate.data) == last["seq"]
    assert not command(keeper)


def test_a_gateway_killed_takes_its_keeper_with_it(gate: Gate, token: str) -> None:
    """The configuration was changed while nothing ran, and an order was left."""
    if gate.process is not None and gate.process.poll() is None:  # run alone, or after another one
        assert gate.stop() == 0
    edited(gate, lambda file: file["policies"].append(DENY))
    made = order(gate.data, {"what": "hold", "session": "s2"})
    gate.start()
    assert get(gate, token) == 403
    change = admin(gate, "configuration")[-1]["change"]
    assert change["changes"] == [{"where": "policies[closed]", "change": "added", "after": DENY}]
    until(lambda: [entry for entry in admin(gate, "hold") if entry["change"]["order"] == made])
    (keeper,) = until(lambda: keepers(gate))
    until(lambda: caught_up(gate))
    gate.kill()
    until(lambda: not command(keeper))
    gate.start()
    until(lambda: caught_up(gate))


def test_a_journal_that_was_rolled_back_is_not_served(gate: Gate) -> None:
    """After the one before. Attack: put an older copy of the journal in place, and the newer calls never were."""
    assert gate.stop() == 0
    (segment, *_) = sorted((gate.data / "journal").glob("*.jsonl"))[-1:]
    whole = segment.read_bytes()
    segment.chmod(0o600)
    segment.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    with pytest.raises(AssertionError, match="a signed checkpoint covers entries up to"):
        gate.start()
    assert segment.read_bytes() == b"".join(whole.splitlines(keepends=True)[:-1])
    segment.write_bytes(whole)
    gate.start()
    assert gate.stop() == 0
