"""A keeper process with chores of the tests: `python -m support.chores NAME…` runs these, and talks like the real one."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from funcgate.recording.chore import ChoreFailed
from funcgate.recording.folder import Line
from funcgate.recording.keeper.process import Ask, main
from funcgate.recording.keeper.settings import KeeperSettings
from funcgate.recording.keeper.worker import Planned


class Noting:
    """Notes each number that it is given in a file, and goes on after the last one in it."""

    def __init__(self, folder: Path, name: str, *, every: str = "") -> None:
        self.name = name
        self.folder = folder
        self.file = (folder / f"{name}.txt").open("a+")
        self.file.seek(0)
        self.position = max((int(word) for word in self.file.read().split() if word.isdigit()), default=0)
        self.say(every or "made")

    def say(self, *words: object) -> None:
        self.file.write("".join(f"{word}\n" for word in words))
        self.file.flush()

    def take(self, lines: Sequence[Line]) -> None:
        self.say(*(line.seq for line in lines))
        self.position = lines[-1].seq

    def tick(self) -> None:
        return

    def close(self) -> None:
        self.say("closed")


class Failing(Noting):
    """Cannot go on as long as there is a file ``broken``."""

    def take(self, lines: Sequence[Line]) -> None:
        if (self.folder / "broken").exists():
            raise ChoreFailed("the destination does not answer")
        super().take(lines)


class Breaking(Noting):
    """Is broken as long as there is a file ``broken``."""

    def take(self, lines: Sequence[Line]) -> None:
        if (self.folder / "broken").exists():
            raise ZeroDivisionError("a canary in an exception's text")
        super().take(lines)


class Ticking(Noting):
    """Does its work by the clock alone, and cannot as long as there is a file ``broken``."""

    def tick(self) -> None:
        if (self.folder / "broken").exists():
            raise ChoreFailed("the disk is full")
        self.say("tick")


class Complaining(Noting):
    """Goes on, and complains as long as there is a file ``broken``."""

    @property
    def complaint(self) -> str:
        return "copies do not arrive" if (self.folder / "broken").exists() else ""


class Printing(Noting):
    """Prints, as a library may."""

    def take(self, lines: Sequence[Line]) -> None:
        print("not for the gateway", flush=True)
        super().take(lines)


class Stuck(Noting):
    """Never comes back."""

    def take(self, lines: Sequence[Line]) -> None:
        time.sleep(3600)


class Asking(Noting):
    """Has each number recorded before it is noted."""

    def __init__(self, folder: Path, name: str, ask: Ask) -> None:
        super().__init__(folder, name)
        self.ask = ask

    def take(self, lines: Sequence[Line]) -> None:
        self.ask({"what": "expired", "up_to": lines[-1].seq})
        super().take(lines)


class Dying(Noting):
    """Ends the whole process."""

    def take(self, lines: Sequence[Line]) -> None:
        os._exit(7)


KINDS: dict[str, Callable[..., Any]] = {
    "noting": Noting, "failing": Failing, "breaking": Breaking, "stuck": Stuck, "dying": Dying, "complaining": Complaining,
    "printing": Printing, "ticking": Ticking,
}  # fmt: skip


def plan(names: list[str], settings: KeeperSettings, asker: Callable[[str], Ask]) -> list[Planned]:
    folder = Path(settings.data_dir)
    made = [
        Planned(name, None, partial(Asking, folder, name, asker(name)))
        if name == "asking"
        else Planned(name, None, partial(KINDS[name], folder, name), follows=name != "ticking")
        for name in names
    ]
    # One that depends on the settings of the index, which a reload may change.
    made.append(Planned("index", settings.index, partial(Noting, folder, "index", every=str(settings.index.text))))
    return made if settings.index.enabled else made[:-1]


if __name__ == "__main__":
    main(partial(plan, sys.argv[1:]))
