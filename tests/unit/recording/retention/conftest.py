"""Houses in which days pass, with nothing in them yet."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.house import House


@pytest.fixture
def make_house(tmp_path: Path) -> Iterator[Callable[..., House]]:
    made: list[House] = []

    def make(**options: Any) -> House:
        made.append(House(tmp_path / f"data-{len(made)}", **options))
        return made[-1]

    yield make
    for house in made:
        house.close()


@pytest.fixture
def house(make_house: Callable[..., House]) -> House:
    return make_house()
