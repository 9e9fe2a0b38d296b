"""Packages of node for clients written in JavaScript: installed once, below build/."""

import os
import shutil
import subprocess
from pathlib import Path

_FOLDER = Path(__file__).parents[2] / "build" / "clients" / "node"


def modules(*packages: str) -> Path:
    """The folder with these packages in its node_modules. Raises `AssertionError` when they cannot be had."""
    missing = [name for name in packages if not (_FOLDER / "node_modules" / name).is_dir()]
    if missing:
        npm = shutil.which("npm")
        assert npm, "npm is needed"
        _FOLDER.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(_FOLDER), *missing]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
    return _FOLDER


def run(program: str, *packages: str, timeout_s: float = 60, **environment: str) -> str:
    """What a JavaScript program (CommonJS) prints. Raises `AssertionError` when it fails."""
    folder = modules(*packages)
    variables = {**os.environ, **environment, "NODE_PATH": str(folder / "node_modules")}
    done = subprocess.run(
        ["node", "-e", program], env=variables, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
