"""What the keeper's chores remember has a limit: more calls take no more memory."""

import subprocess
import sys
from pathlib import Path

import pytest
from bench.history import Cast, write_history

FOLLOWING = Path(__file__).with_name("following.py")
CALLS, SAMPLES = 150_000, 10


@pytest.mark.slow
def test_the_memory_levels_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entries = write_history(tmp_path / "journal", CALLS, Cast())
    command = [sys.executable, str(FOLLOWING), str(tmp_path), str(entries), str(SAMPLES)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    used = [float(line) for line in ran.stdout.split()]
    with capsys.disabled():
        print(f"\n  the keeper, each {CALLS // SAMPLES:,} calls: {', '.join(map(str, used))} MiB")
    assert len(used) >= SAMPLES
    assert used[-1] - used[SAMPLES // 2 - 1] < 10
    assert used[-1] < 160
