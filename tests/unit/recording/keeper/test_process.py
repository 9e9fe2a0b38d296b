"""The keeper's process: each chore gets every durable line once and in order, whatever becomes of the others."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from funcgate.core.secret import Secret
from funcgate.recording.keeper.messages import (
    Begin,
    Begun,
    Durable,
    Record,
    Refused,
    Reload,
    Status,
    encode,
    for_keeper,
)
from funcgate.recording.keeper.process import NICENESS
from funcgate.recording.keeper.settings import IndexSettings, KeeperSettings, WebhookSettings

Write = Callable[[int, int], None]
Child = Callable[..., Any]
MADE = ["made"]


def numbers(first: int, last: int) -> list[str]:
    return [str(number) for number in range(first, last + 1)]


def test_every_durable_line_once_and_nothing_above(child: Child, write: Write) -> None:
    write(1, 30)
    keeper = child("noting", durable=10)
    assert isinstance(keeper.hear(), Begun)
    keeper.reached("noting", 10)
    assert keeper.noted("noting") == MADE + numbers(1, 10)
    keeper.say(Durable(20))
    keeper.reached("noting", 20)
    assert keeper.stop(25) == 0
    assert keeper.noted("noting") == [*MADE, *numbers(1, 25), "closed"]
    again = child("noting", durable=30)
    again.reached("noting", 30)
    assert again.noted("noting")[len(MADE) + 26 :] == MADE + numbers(26, 30)


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="this system has no such thing")
def test_it_gives_way_to_calls(child: Child, write: Write) -> None:
    keeper = child("noting", durable=0)
    assert isinstance(keeper.hear(), Begun)
    write(1, 3)
    keeper.say(Durable(3))
    keeper.reached("noting", 3)
    threads = [int(name) for name in os.listdir(f"/proc/{keeper.process.pid}/task")]
    assert len(threads) > 2
    assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_BATCH}
    assert {os.getpriority(os.PRIO_PROCESS, thread) - os.getpriority(os.PRIO_PROCESS, 0) for thread in threads} == {
        NICENESS
    }


@pytest.mark.parametrize(
    ("kind", "told"),
    [("failing", "the destination does not answer"), ("breaking", "broke: ZeroDivisionError at chores.py")],
)
def test_one_that_fails_is_told_tried_again_and_stops_no_other(
    child: Child, write: Write, data_dir: Path, kind: str, told: str
) -> None:
    (data_dir / "broken").touch()
    write(1, 9)
    keeper = child(kind, "noting", durable=5)
    trouble = keeper.troubled(kind)
    assert trouble.startswith(told)
    assert "canary" not in trouble
    keeper.say(Durable(9))
    keeper.reached("noting", 9)
    (data_dir / "broken").unlink()
    assert keeper.reached(kind, 9).trouble == ""
    assert [word for word in keeper.noted(kind) if word.isdigit()] == numbers(1, 9)
    assert keeper.stop(9) == 0


def test_one_that_complains_goes_on(child: Child, write: Write, data_dir: Path) -> None:
    (data_dir / "broken").touch()
    write(1, 5)
    keeper = child("complaining", durable=3)
    assert keeper.troubled("complaining") == "copies do not arrive"
    keeper.say(Durable(5))
    keeper.reached("complaining", 5)
    (data_dir / "broken").unlink()
    keeper.hear_until(lambda m: isinstance(m, Status) and m.chore == "complaining" and not m.trouble)
    assert keeper.stop(5) == 0


def test_one_that_goes_by_the_clock_gets_no_lines(child: Child, write: Write, data_dir: Path) -> None:
    (data_dir / "broken").touch()
    write(1, 5)
    keeper = child("ticking", durable=3)
    assert keeper.troubled("ticking") == "the disk is full"
    keeper.say(Durable(5))
    keeper.reached("index", 5)
    (data_dir / "broken").unlink()
    assert keeper.hear_until(lambda m: isinstance(m, Status) and m.chore == "ticking" and not m.trouble).position == 5
    assert keeper.stop(5) == 0
    assert set(keeper.noted("ticking")) == {"made", "tick", "closed"}
    troubles = [
        message.trouble for message in keeper.said if isinstance(message, Status) and message.chore == "ticking"
    ]
    kept = [trouble for trouble, before in zip(troubles, [None, *troubles], strict=False) if trouble != before]
    assert kept[-2:] == ["the disk is full", ""]  # told once, and taken back once it works
    assert kept.count("the disk is full") == 1


def test_one_that_prints_says_nothing_to_the_gateway(child: Child, write: Write, data_dir: Path) -> None:
    write(1, 5)
    keeper = child("printing", durable=5)
    keeper.reached("printing", 5)
    assert keeper.stop(5) == 0
    assert (data_dir / "printing.txt").stat().st_mode & 0o777 == 0o600


def test_one_that_never_comes_back_is_left_behind_at_the_end(child: Child, write: Write) -> None:
    write(1, 5)
    keeper = child("stuck", "noting", durable=3)
    keeper.reached("noting", 3)
    assert keeper.stop(5, limit_s=3.0) == 0
    assert keeper.noted("noting") == [*MADE, *numbers(1, 5), "closed"]
    assert "closed" not in keeper.noted("stuck")


def test_the_gateway_gone_it_ends_in_order(child: Child, write: Write) -> None:
    write(1, 5)
    keeper = child("noting", durable=5)
    assert keeper.hang_up() == 0
    assert keeper.noted("noting") == [*MADE, *numbers(1, 5), "closed"]


def test_signals_are_for_the_gateway(child: Child, write: Write) -> None:
    write(1, 5)
    keeper = child("noting", durable=1)
    keeper.reached("noting", 1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        keeper.process.send_signal(number)
    keeper.say(Durable(5))
    keeper.reached("noting", 5)
    assert os.getpriority(os.PRIO_PROCESS, keeper.process.pid) > 0
    assert keeper.stop(5) == 0


def test_an_entry_is_durable_before_it_is_done(child: Child, write: Write) -> None:
    write(1, 5)
    keeper = child("asking", durable=5)
    asked = keeper.hear_until(lambda message: isinstance(message, Record), answer="journal.unavailable")
    assert (asked.chore, asked.change) == ("asking", {"what": "expired", "up_to": 5})
    assert "journal.unavailable" in keeper.troubled("asking")
    assert keeper.noted("asking") == MADE
    keeper.reached("asking", 5, answer="")
    assert keeper.noted("asking") == MADE + numbers(1, 5)
    assert keeper.stop(5) == 0


def test_the_gateway_gone_nothing_is_done_that_is_not_recorded(child: Child, write: Write) -> None:
    write(1, 5)
    keeper = child("asking", durable=5)
    keeper.hear_until(lambda message: isinstance(message, Record))
    assert keeper.hang_up() == 0
    assert keeper.noted("asking") == [*MADE, "closed"]


def test_a_reload_changes_what_depends_on_it_and_nothing_else(child: Child, write: Write, data_dir: Path) -> None:
    write(1, 5)
    keeper = child("noting", durable=2)
    keeper.reached("index", 2)
    settings = KeeperSettings(data_dir=str(data_dir), index=IndexSettings(text=False))
    keeper.say(Reload(settings=settings))
    keeper.say(Durable(5))
    keeper.reached("index", 5)
    keeper.reached("noting", 5)
    assert keeper.noted("index") == ["True", "1", "2", "closed", "False", "3", "4", "5"]
    assert keeper.noted("noting") == MADE + numbers(1, 5)
    keeper.say(Reload(settings=KeeperSettings(data_dir=str(data_dir), index=IndexSettings(enabled=False))))
    assert keeper.hear_until(lambda message: isinstance(message, Status) and message.gone).chore == "index"
    assert keeper.stop(5) == 0


def test_a_second_keeper_refuses(child: Child, write: Write, data_dir: Path) -> None:
    write(1, 5)
    first = child("noting", durable=5)
    first.reached("noting", 5)
    second = child("noting", durable=5, lock_wait_s=0.1)
    refused = second.hear()
    assert isinstance(refused, Refused)
    assert refused.text == f"another keeper holds {data_dir}"
    assert second.process.wait(30) == 1
    third = child("noting", durable=5, lock_wait_s=30)  # it waits, and gets the folder when the first is killed
    first.process.kill()
    assert isinstance(third.hear(), Begun)


@pytest.mark.parametrize("first", [b"", b"\n", b"{}\n", b"\xff\n", encode(Durable(3)), b'{"type":"begin"}\n'])
def test_without_settings_it_does_nothing(first: bytes) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "funcgate.cli.keep"], input=first, capture_output=True, timeout=60
    )
    assert done.returncode == (1 if first else 0)
    assert done.stderr == b""
    assert done.stdout == (
        b'{"type":"refused","text":"the first message says nothing of the settings"}\n' if first else b""
    )


def test_rubbish_later_on_ends_it_like_a_gateway_that_is_gone(child: Child, write: Write) -> None:
    write(1, 5)
    keeper = child("noting", durable=5)
    keeper.process.stdin.write(b"rubbish\n")
    keeper.process.stdin.flush()
    assert keeper.process.wait(30) == 0
    assert keeper.noted("noting") == [*MADE, *numbers(1, 5), "closed"]


def test_no_data_folder(child: Child, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    gone = tmp_path_factory.mktemp("gone")
    gone.rmdir()
    begin = Begin(settings=KeeperSettings(data_dir=str(gone)), durable=0)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "funcgate.cli.keep"], input=encode(begin), capture_output=True, timeout=60
    )
    assert done.returncode == 1
    assert b"No such file or directory" in done.stdout
    assert not gone.exists()


def test_secrets_travel_in_the_settings_and_show_nowhere() -> None:
    hook = WebhookSettings(name="hook", url="https://x.example/", secret=Secret("canary-1"))
    settings = KeeperSettings(data_dir="/x", encryption=Secret("canary-2"), forward=(hook,))
    message = for_keeper(encode(Begin(settings=settings, durable=7)))
    assert isinstance(message, Begin)
    assert message.settings == settings
    assert message.settings.encryption is not None
    assert message.settings.encryption.reveal() == "canary-2"
    assert "canary" not in repr(message)
