"""A keeper's process with chores of the tests, spoken to as the gateway does."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from funcgate.core.entry import Entry, Kind, encode_line
from funcgate.recording.keeper.messages import Begin, Record, Recorded, Status, Stop, encode, for_gateway
from funcgate.recording.keeper.settings import KeeperSettings

TESTS = str(Path(__file__).parents[3])


class Child:
    """One process. `said` is all that was read from it so far."""

    def __init__(self, data_dir: Path, *names: str, **begin: Any) -> None:
        self.data_dir = data_dir
        self.process = subprocess.Popen(
            [sys.executable, "-m", "support.chores", *names],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": TESTS},
        )
        self.said: list[Any] = []
        self.say(Begin(settings=KeeperSettings(data_dir=str(data_dir)), **{"durable": 0, **begin}))

    def say(self, message: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(encode(message))
        self.process.stdin.flush()

    def hear(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"it ended; it said {self.said}"
        self.said.append(for_gateway(line))
        return self.said[-1]

    def hear_until(self, wanted: Callable[[Any], bool], *, answer: str | None = None) -> Any:
        """The first message that is wanted; requests for records are answered."""
        while True:
            message = self.hear()
            if isinstance(message, Record) and answer is not None:
                self.say(Recorded(id=message.id, problem=answer))
            if wanted(message):
                return message

    def reached(self, chore: str, position: int, **options: Any) -> Status:
        def there(message: Any) -> bool:
            return isinstance(message, Status) and (message.chore, message.position) == (chore, position)

        told = [message for message in self.said if isinstance(message, Status) and message.chore == chore]
        found = told[-1] if told and there(told[-1]) else self.hear_until(there, **options)
        assert isinstance(found, Status)
        return found

    def troubled(self, chore: str) -> str:
        found = self.hear_until(lambda m: isinstance(m, Status) and m.chore == chore and m.trouble)
        return str(found.trouble)

    def noted(self, chore: str) -> list[str]:
        return (self.data_dir / f"{chore}.txt").read_text().split()

    def stop(self, seq: int = 0, limit_s: float = 5.0) -> int:
        self.say(Stop(seq=seq, limit_s=limit_s))
        return self.process.wait(30)

    def hang_up(self) -> int:
        """As when the gateway is killed."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(30)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "journal").mkdir()
    return tmp_path


@pytest.fixture
def write(data_dir: Path) -> Callable[[int, int], None]:
    """Lines from one number to another, both included."""

    def write(first: int, last: int) -> None:
        with (data_dir / "journal" / "00000001.jsonl").open("ab") as file:
            for seq in range(first, last + 1):
                at = "2026-11-21T00:00:00.000000Z"
                file.write(encode_line(Entry(seq=seq, at=at, kind=Kind.DENIED, call="c")))

    return write


@pytest.fixture
def child(data_dir: Path) -> Iterator[Callable[..., Child]]:
    made: list[Child] = []

    def start(*names: str, **begin: Any) -> Child:
        made.append(Child(data_dir, *names, **begin))
        return made[-1]

    yield start
    for one in made:
        one.process.kill()
        one.process.wait()
        for pipe in (one.process.stdin, one.process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue
