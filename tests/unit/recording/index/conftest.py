"""Histories of calls, each in a data folder of its own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from support.history import History


@pytest.fixture
def make_history(tmp_path: Path) -> Callable[[], History]:
    made: list[History] = []

    def make() -> History:
        made.append(History(tmp_path / f"data-{len(made)}"))
        return made[-1]

    return make
