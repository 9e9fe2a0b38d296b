"""What a newcomer sees: `funcgate demo` plays its scenario, says what happened, stays up, and cleans up after itself."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

FUNCGATE = Path(sys.executable).with_name("funcgate")
UP_S = 60.0

OUTCOMES = {
    "allowed": ("payments-agent", "allowed", "'small transfers'", "201"),
    "masked answer": ("payments-agent", "allowed", "'agents read'", "credit_card 3", "us_ssn 1", "200"),
    "whose credential": ("payments-agent", "allowed", "'agents read'", "200", "fingerprint"),
    "credential echoed": ("payments-agent", "allowed", "'agents read'", "200", "[CREDENTIAL]"),
    "denied by group": ("support-agent", "denied", "403", "policy.denied"),
    "denied by argument": ("payments-agent", "denied", "'only euros'", "403", "policy.denied"),
    "deny wins": ("nightly-job", "denied", "'CI moves no money'", "403", "policy.denied"),
    "held, approved": ("payments-agent", "held", "'big transfers'", "201", "25000"),
    "held, rejected": ("payments-agent", "held", "'big transfers'", "403", "approval.rejected"),
    "held, nobody there": ("payments-agent", "held", "'big transfers'", "403", "approval.pending"),
    "unknown function": ("payments-agent", "denied", "403", "function.unknown"),
    "wrong argument": ("payments-agent", "denied", "400", "request.invalid"),
    "expired token": ("unknown", "denied", "401", "identity.expired"),
    "no token": ("unknown", "denied", "401", "identity.missing"),
}


@pytest.fixture(scope="module")
def printed_once(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `funcgate demo --once` prints in an empty folder, in lines long enough that no cell is folded."""
    folder = tmp_path_factory.mktemp("once")
    done = run_demo(folder, columns=700)
    assert done.returncode == 0, done.stdout + done.stderr
    assert processes_in(folder / ".demo") == {}
    return done.stdout


def run_demo(folder: Path, columns: int = 150) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": str(columns)}
    return subprocess.run(
        [FUNCGATE, "demo", "--once"], cwd=folder, env=environment, capture_output=True, text=True, timeout=90
    )


def rows(printed: str) -> dict[str, str]:
    """The scenario table's rows by their first cell."""
    table = printed.partition("What each caller tried")[2].partition("└")[0]
    found = (line for line in table.splitlines() if line.startswith("│"))
    return {line.split("│")[1].strip(): line for line in found}


def processes_in(folder: Path) -> dict[int, str]:
    """The command lines of the processes that work in the folder, the demo's children among them, by their ids."""
    found: dict[int, str] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it has ended, or is not ours
    return found


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + UP_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.mark.parametrize("step", OUTCOMES)
def test_each_outcome_is_shown_with_its_reason(printed_once: str, step: str) -> None:
    row = rows(printed_once)[step]
    assert [text for text in OUTCOMES[step] if text not in row] == [], row


def test_nothing_else_is_in_the_table(printed_once: str) -> None:
    assert set(rows(printed_once)) == set(OUTCOMES)


def test_the_journal_lines_are_shown_and_the_ledger_agrees(printed_once: str) -> None:
    journal = printed_once.partition("The journal of it all")[2]
    for kind in ("arrived", "allowed", "asked", "denied", "ended"):
        assert re.search(rf"│ +\d+ +│.*│ {kind} +│", journal), kind
    assert "5 of the 14 calls reached it" in printed_once


def test_no_credential_and_no_unmasked_answer_in_the_callers_half(printed_once: str) -> None:
    assert "pay_" not in printed_once
    sent_and_got = printed_once.partition("The same answer, before and after")[2].partition("Two credentials")[0]
    halves = [line.split("│")[1:3] for line in sent_and_got.splitlines() if line.startswith("│")]
    sent, got = ("\n".join(column) for column in zip(*halves, strict=True))
    for value in ("4111 1111 1111 1111", "524-71-3906", "c1001@example.com", "correct horse"):
        assert value in sent
        assert value not in got


def test_it_refuses_a_folder_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / ".demo").mkdir()
    (tmp_path / ".demo" / "funcgate.yaml").write_text("mine")
    done = run_demo(tmp_path)
    assert done.returncode == 1
    assert "not made by the demo" in done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_lines_to_paste_work_as_pasted(demo_folder: Path) -> None:
    printed = (demo_folder / "printed.txt").read_text()
    lines = [line for line in printed.splitlines() if line.startswith(("export ", "curl "))]
    assert len(lines) == 5
    script = "\n".join([lines[0], *(f"{line}; echo" for line in lines[1:])])
    done = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    customer, booked, held, denied = (json.loads(line) for line in done.stdout.splitlines() if line)
    assert customer["id"] == "c-1002"
    assert customer["ssn"] == "[REDACTED:us_ssn]"
    assert booked["status"] == "booked"
    assert held["code"] == "approval.pending"
    assert denied["code"] == "policy.denied"


def test_the_record_can_be_asked_as_told(demo_folder: Path) -> None:
    told = next(line for line in (demo_folder / "printed.txt").read_text().splitlines() if "audit list" in line)
    words = told[told.index("funcgate ") :].split()
    done = subprocess.run([FUNCGATE, *words[1:]], cwd=demo_folder, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    assert "payments.createTransfer" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_ended_while_it_starts_it_leaves_no_process_behind(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen([FUNCGATE, "demo"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: processes_in(tmp_path / ".demo"), "no process was started")
        process.send_signal(number)
        assert process.wait(UP_S) == 1
        assert processes_in(tmp_path / ".demo") == {}
    finally:
        process.kill()


@pytest.mark.slow
def test_it_says_so_when_one_of_its_processes_dies(tmp_path: Path) -> None:
    def gateway() -> list[int]:
        return [number for number, line in processes_in(tmp_path / ".demo").items() if " serve " in line]

    printed = tmp_path / "printed.txt"
    with printed.open("wb") as file:
        process = subprocess.Popen([FUNCGATE, "demo"], cwd=tmp_path, stdout=file, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: "stays up" in printed.read_text() or process.poll() is not None, "the demo is not up")
        assert process.poll() is None, printed.read_text()
        os.kill(gateway()[0], signal.SIGKILL)
        assert process.wait(UP_S) == 1
        assert "gateway process has ended by itself" in printed.read_text()
        assert processes_in(tmp_path / ".demo") == {}
    finally:
        process.kill()
