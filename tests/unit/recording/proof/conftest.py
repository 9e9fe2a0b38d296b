"""A data folder with a real journal, and the chore driven as the keeper drives it."""

from pathlib import Path

import pytest

from support.prover import Prover


@pytest.fixture
def prover(tmp_path: Path) -> Prover:
    return Prover(tmp_path / "data")
