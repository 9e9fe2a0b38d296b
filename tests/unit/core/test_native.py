"""The compiled halves are an offer: left out when asked, missing without harm, and named."""

import subprocess
import sys
from pathlib import Path

import pytest

from funcgate.core.native import HALVES, build, half

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("said", ["1", "yes"])
def test_they_are_left_out_when_asked(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("FUNCGATE_PURE", said)
    assert [half(name) for name in HALVES] == [None] * len(HALVES)
    assert build() == "pure"


def test_one_that_was_never_built_is_none() -> None:
    assert half("funcgate.core._no_such_half") is None


def test_each_source_is_listed() -> None:
    sources = [path.relative_to(ROOT / "src").with_suffix("") for path in (ROOT / "src").rglob("*.pyx")]
    assert sorted(".".join(path.parts) for path in sources) == sorted(HALVES)


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
def test_the_version_tells(pure: str) -> None:
    command = [str(Path(sys.executable).parent / "funcgate"), "--version"]
    said = subprocess.run(command, env={"FUNCGATE_PURE": pure}, capture_output=True, text=True, check=True).stdout
    assert said.startswith("funcgate ")
    assert said.strip().endswith("(pure)") == (pure == "1" or build() == "pure")
