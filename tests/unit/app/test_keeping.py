"""The gateway's side of the keeper, with children that are missing, die, say rubbish or never end."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from funcgate.app import keeping
from funcgate.app.keeping import Keeping
from funcgate.console import KeeperGauges
from funcgate.recording.keeper.settings import KeeperSettings
from funcgate.stores.memory import MemoryJournal

SAYS = "import sys; sys.stdin.readline(); print('{0}', flush=True); sys.stdin.read()"


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "FIRST_PAUSE_S": 0.01,
        "LONGEST_PAUSE_S": 0.05,
        "END_LIMIT_S": 0.2,
        "KILL_AFTER_S": 0.2,
    }.items():
        monkeypatch.setattr(keeping, name, value)
    monkeypatch.setattr(keeping, "DOWN_S", 0.0)


def kept(
    data_dir: Path, command: tuple[str, ...], check: Callable[[Keeping, KeeperGauges], Awaitable[None]]
) -> KeeperGauges:
    """Run `check` while the keeper that the command starts is kept."""
    gauges = KeeperGauges(lambda: 0, lambda: None)

    async def scenario() -> None:
        settings = KeeperSettings(data_dir=str(data_dir))
        one = Keeping(settings, MemoryJournal(), lambda: 0, gauges, command=command)
        one.start()
        await check(one, gauges)
        async with asyncio.timeout(10):
            await one.stop()

    asyncio.run(scenario())
    return gauges


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "command",
    [
        ("/nowhere/python",),
        (sys.executable, "-c", "raise SystemExit(3)"),
        (sys.executable, "-S", "-c", "print('rubbish', flush=True); import time; time.sleep(3600)"),
        (sys.executable, "-S", "-c", "import sys; sys.stdout.write('x' * (9 << 20))"),
    ],
)
def test_one_that_cannot_run_is_tried_again_and_told(tmp_path: Path, command: tuple[str, ...]) -> None:
    async def check(one: Keeping, gauges: KeeperGauges) -> None:
        await until(lambda: gauges.restarts >= 3)
        assert one.warnings() == ["the keeper does not run: proof, index, retention and forwarding stand still"]

    assert kept(tmp_path, command, check).up is False


def test_one_that_never_ends_is_killed(tmp_path: Path) -> None:
    begun = SAYS.replace("sys.stdin.read()", "import time; time.sleep(3600)").format('{"type":"begun"}')

    async def check(one: Keeping, gauges: KeeperGauges) -> None:
        await until(lambda: gauges.up)
        assert one.warnings() == []

    assert kept(tmp_path, (sys.executable, "-S", "-c", begun), check).up is False


def test_the_chores_that_are_stuck_are_named_and_no_more(tmp_path: Path) -> None:
    said = '{"type":"begun"}\\n{"type":"status","chore":"proof","position":3,"trouble":"secret.example is away"}'

    async def check(one: Keeping, gauges: KeeperGauges) -> None:
        await until(lambda: gauges.chores)
        assert one.warnings() == ["the keeper has trouble with proof; the log says which"]
        assert gauges.chores["proof"].position == 3

    kept(tmp_path, (sys.executable, "-S", "-c", SAYS.format(said)), check)


def test_a_real_one_between_start_and_stop(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()

    async def check(one: Keeping, gauges: KeeperGauges) -> None:
        await until(lambda: gauges.up)
        await until(lambda: {"proof", "archive", "index"} <= set(gauges.chores))
        assert one.warnings() == []

    assert kept(tmp_path, keeping.COMMAND, check).restarts == 0


def test_stopped_before_it_could_begin(tmp_path: Path) -> None:
    async def check(one: Keeping, gauges: KeeperGauges) -> None:
        await asyncio.sleep(0)

    (tmp_path / "journal").mkdir()
    kept(tmp_path, keeping.COMMAND, check)
