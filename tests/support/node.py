"""Packages for Node.js, installed once into the build folder."""

import os
import shutil
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "build" / "clients" / "node"


def modules(*packages: str) -> Path:
    """The folder whose ``node_modules`` has them. Raises `AssertionError` when they cannot be had."""
    npm = shutil.which("npm")
    assert npm is not None, "npm is needed"
    wanted = [package for package in packages if not (FOLDER / "node_modules" / _name(package)).is_dir()]
    if wanted:
        FOLDER.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--prefix", str(FOLDER), "--no-audit", "--no-fund", "--ignore-scripts", *wanted]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    return FOLDER


def _name(package: str) -> str:
    """Without its version."""
    return package if package.rfind("@") <= 0 else package[: package.rfind("@")]


def run(program: str, *packages: str, timeout_s: float = 60, **environment: str) -> str:
    """What a JavaScript program (CommonJS) prints. Raises `AssertionError` when it fails."""
    folder = modules(*packages)
    variables = {**os.environ, **environment, "NODE_PATH": str(folder / "node_modules")}
    done = subprocess.run(
        ["node", "-e", program], env=variables, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
