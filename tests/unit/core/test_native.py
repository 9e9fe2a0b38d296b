"""The compiled halves are an offer: left out when asked, missing without harm, and named."""

import asyncio
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Awaitable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from funcgate.core import ids, turn
from funcgate.core.marks import Marks
from funcgate.core.meter import STEPS, Meter
from funcgate.core.native import HALVES, build, half
from funcgate.core.refusal import Code

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("said", ["1", "yes"])
def test_they_are_left_out_when_asked(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("FUNCGATE_PURE", said)
    assert [half(name) for name in HALVES] == [None] * len(HALVES)
    assert build() == "pure"


def test_one_that_was_never_built_is_none() -> None:
    assert half("funcgate.core._no_such_half") is None


def test_each_source_is_listed() -> None:
    code = "import sys, pathlib; sys.path[0] = sys.argv[1]; import native; print(*native.sources_in(pathlib.Path(sys.argv[2])))"
    command = [sys.executable, "-c", code, str(ROOT / "tools"), str(ROOT / "src")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    sources = [Path(path).relative_to(ROOT / "src").with_suffix("") for path in told]
    assert sorted(".".join(path.parts) for path in sources) == sorted(HALVES)


def test_each_one_that_was_built_can_be_imported() -> None:
    """One that cannot is left out without a word, and nothing gets quicker. Each in a process of its own: the order counts."""
    if os.environ.get("FUNCGATE_PURE"):
        pytest.skip("they are left out here")
    built = [name for name in HALVES if any((ROOT / "src").glob(f"{name.replace('.', '/')}.*.so"))]
    if find_spec("Cython") and shutil.which("cc") and (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        assert built == list(HALVES), "run `make`: where one is missing, its tests are skipped"
    program = "import sys; from importlib import import_module; import_module(sys.argv[1])"
    running = [(name, subprocess.Popen([sys.executable, "-c", program, name])) for name in built]
    assert [name for name, process in running if process.wait(60)] == []


@pytest.mark.parametrize(
    ("environment", "told"), [({"CC": "/bin/false"}, "false failed"), ({"PATH": "/nowhere"}, "there is no C compiler")]
)
def test_without_a_compiler_the_build_is_content(tmp_path: Path, environment: dict[str, str], told: str) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/_native.pyx").write_text("x = 1\n")
    code = "import sys, pathlib; sys.path[0] = sys.argv[1]; import native; print(native.build_all(pathlib.Path.cwd()))"
    command = [sys.executable, "-c", code, str(ROOT / "tools")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "[]")
    assert told in done.stderr


@pytest.mark.parametrize("pure", ["0", "1"])
def test_the_version_tells(monkeypatch: pytest.MonkeyPatch, pure: str) -> None:
    monkeypatch.setenv("FUNCGATE_PURE", pure)
    command = [str(Path(sys.executable).parent / "funcgate"), "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith("funcgate ")
    # In a process of its own: what was imported here, pure, keeps some halves out.
    code = "from funcgate.core.native import build; print(build())"
    built = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip().endswith(f"({built.strip()})")


@pytest.mark.skipif(half("funcgate.core._native") is None, reason="not built, or FUNCGATE_PURE is set")
def test_calls_are_counted_alike() -> None:
    meters = (Meter(), Meter())
    for took in (-5, 0, 1, 999, 1000, 1001, 1_023_999, 1_024_000, 10**9, 10**13):
        marks = [5_000 + took, 5_000 + 2 * took, *[0] * (len(STEPS) - 3), 5_000 + 2 * took]
        masked = {"card": took % 7, "ssn": 1} if took else {}
        taken: Any = Marks.of(5_000, marks)  # type: ignore[attr-defined]
        for told in (("shop", "allow", "" if took % 2 else Code.POLICY_DENIED), ("".join(("sh", "op")), "allow", "")):
            times: Any = meters[0].tally.over(*told, taken, masked)
            assert list(times.times(STEPS).items()) == list(meters[1].over(*told, taken, masked).items())
    assert [d.counts for d in meters[0].steps.values()] == [d.counts for d in meters[1].steps.values()]
    assert (meters[0].calls, meters[0].masked) == (meters[1].calls, meters[1].masked)
    assert meters[0].steps["resolve"].total_us > 0
    with pytest.raises(BufferError):
        meters[0].steps["resolve"].counts.append(1)  # where it is is known


@pytest.mark.skipif(half("funcgate.core._native") is None, reason="not built, or FUNCGATE_PURE is set")
@pytest.mark.parametrize("drawn", [b"\x00" * 10, b"\xff" * 10, b"0123456789"])
def test_names_are_made_alike(monkeypatch: pytest.MonkeyPatch, drawn: bytes) -> None:
    native = half("funcgate.core._native")
    monkeypatch.setattr(native, "urandom", lambda _: drawn)
    monkeypatch.setattr(os, "urandom", lambda _: drawn)
    compiled, pure = native.Names(), ids._Names()
    for millisecond in [0, 1, 1023, 1024, 1_795_000_000_000, 1_795_000_000_001, 1_795_000_001_100, (1 << 48) - 1]:
        for _ in range(40):
            assert compiled.next(millisecond) == pure.next(millisecond)
    assert ids.made_at(compiled.new_id(1_795_000_000.5)) == 1_795_000_000.5
    assert len({compiled.new_id() for _ in range(1000)}) == 1000


@pytest.mark.parametrize("turn", [turn.Turn(), turn.TURN])
def test_a_turn_gives_way_once(turn: Awaitable[None]) -> None:
    seen: list[str] = []

    async def first() -> None:
        seen.append("first")
        await turn
        seen.append("after the turn")
        await turn
        seen.append("after another")

    async def both() -> None:
        task = asyncio.create_task(first())
        seen.append("begun")
        await asyncio.sleep(0)
        seen.append("one turn later")
        await task

    asyncio.run(both())
    assert seen == ["begun", "first", "one turn later", "after the turn", "after another"]


@pytest.mark.slow
@pytest.mark.skipif(half("funcgate.core._native") is None, reason="not built, or FUNCGATE_PURE is set")
def test_a_coroutine_survives_that_its_exception_loses_its_traceback(tmp_path: Path) -> None:
    """Attack: crash the gateway by a refusal whose traceback is dropped while it is told."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src/odd.pyx").write_text(
        "async def go(drop, wait):\n    try:\n        raise ValueError\n    except ValueError as error:\n"
        "        drop(error)\n        await wait()\n    return 1\n"
    )
    code = (
        "import sys, pathlib, asyncio; sys.path[:0] = [sys.argv[1], 'src']; import native; native.build_all(pathlib.Path.cwd())\n"
        "import odd\ndrop = lambda error: setattr(error, '__traceback__', None)\n"
        "print(asyncio.run(odd.go(drop, lambda: asyncio.sleep(0))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT / "tools")], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.strip()) == (0, "1"), done.stderr
