"""The harness lives beside `src`, not in it; it needs /proc."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))


@pytest.fixture(autouse=True)
def _on_linux_from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform != "linux":
        pytest.skip("the harness reads /proc: Linux only")
    monkeypatch.chdir(ROOT)
