"""Builds the compiled halves (`_native.pyx`) beside their sources, where there is a C compiler. They are optional.

Run by `make`, and by the build of a wheel (tools/hatch_native.py). Without Cython, a compiler or Python's headers it says
so and is content: the pure modules do the same. A `_name.pxd` without its `.pyx` holds types
for `name.py`, whose own text is compiled.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_INCLUDED = re.compile(r'^include "(\.\./[^"]+)"', re.MULTILINE)
_CIMPORTED = re.compile(r"^from (funcgate\.[\w.]+) cimport", re.MULTILINE)
_CIMPORT = re.compile(r"^from funcgate\.[\w.]+ cimport (.+)$", re.MULTILINE)
_IMPORT = re.compile(r"^from (funcgate\.[\w.]+) import (\w.*)$", re.MULTILINE)
_BY_NAME = re.compile(r"^( *__pyx_t_\d+ = )__Pyx_PyObject_(GetAttrStr|FastCallMethod)\(", re.MULTILINE)
_FAILS = re.compile(
    r"^static (void|int|CYTHON_INLINE void|CYTHON_INLINE int) (__Pyx_(?:AddTraceback|Raise\w*|WriteUnraisable)\()",
    re.MULTILINE,
)
_QUICK = {"GetAttrStr": "quick_attr(", "FastCallMethod": "quick_method("}
QUICK = Path(__file__).with_name("quick.h")
_PLAIN = ("-X", "binding=False")  # functions are builtins: nobody asks them for their signature, and calls cost less
_COMPACT = (
    "-fno-plt",
    "-fno-semantic-interposition",
)  # calls without a table between: the code of a call fits no cache
_AWAITED = "    *retval = __Pyx_PyIter_Next_Plain(source_gen);\n"
_SENT = """    if (Py_TYPE(source_gen)->tp_as_async && Py_TYPE(source_gen)->tp_as_async->am_send) {
        result = Py_TYPE(source_gen)->tp_as_async->am_send(source_gen, Py_None, retval);
        if (result == PYGEN_NEXT) __Pyx_Coroutine_Set_Owned_Yield_From(gen, source_gen);
        else Py_DECREF(source_gen);
        return result;
    }
"""
LINES = 5  # of what a compiler said, shown


def built_file(source: Path) -> Path:
    """Where the compiled module of a `.pyx` file, or of a `.pxd` that stands alone, goes: beside it, for this Python only."""
    return source.with_name(source.stem + str(sysconfig.get_config_var("EXT_SUFFIX")))


def build_all(root: Path = ROOT) -> list[Path]:
    """Build what is missing or older than its source; all compiled files that are there now. Tells what it cannot build."""
    sources = sources_in(root / "src")
    stale = [source for source in sources if not _is_fresh(source)]
    why_not = _why_not() if stale else ""
    if why_not:
        print(f"funcgate stays pure Python: {why_not}", file=sys.stderr)
    elif stale:
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for source, trouble in zip(stale, threads.map(lambda source: _build(source, root), stale), strict=True):
                if trouble:
                    print(f"{source.relative_to(root)} stays pure Python: {trouble}", file=sys.stderr)
    return [built_file(source) for source in sources if _is_fresh(source)]


def sources_in(folder: Path) -> list[Path]:
    """Of each half the file that it is named after: a `.pyx`, or the `.pxd` of a Python module."""
    alone = [path for path in folder.rglob("_*.pxd") if not path.with_suffix(".pyx").exists() and _text(path).exists()]
    return sorted([*folder.rglob("*.pyx"), *alone])


def _text(source: Path) -> Path:
    """What is compiled."""
    return source if source.suffix == ".pyx" else source.with_name(source.stem[1:] + ".py")


def _compiled(source: Path, folder: Path) -> Path:
    """What is compiled, as a file that Cython may read: a text of Python's does not import what its `.pxd` cimports."""
    if source.suffix == ".pyx":
        return source
    taken = {name.split()[-1] for names in _CIMPORT.findall(source.read_text()) for name in names.split(",")}

    def others(found: re.Match[str]) -> str:
        left = [name for name in found[2].split(", ") if name not in taken]
        return f"from {found[1]} import {', '.join(left)}" if left else ""

    text = folder / _text(source).relative_to(_src(source).parent)
    text.parent.mkdir(parents=True, exist_ok=True)
    text.write_text(_IMPORT.sub(others, _text(source).read_text()))
    return text


def _is_fresh(source: Path) -> bool:
    built = built_file(source)
    parts = [source, _text(source), QUICK, Path(__file__), *source.parent.glob("*.px[id]")]
    for part in [source, *source.parent.glob("*.px[id]")]:
        text = part.read_text()
        parts += [source.parent / name for name in _INCLUDED.findall(text)]
        parts += [_src(source) / (name.replace(".", "/") + ".pxd") for name in _CIMPORTED.findall(text)]
    return built.exists() and built.stat().st_mtime >= max(part.stat().st_mtime for part in parts)


def _src(source: Path) -> Path:
    return next(folder.parent for folder in source.parents if folder.name == "funcgate")


def _compiler() -> list[str]:
    """The command that makes an extension module, "" in front if there is no compiler."""
    linker = shlex.split(str(sysconfig.get_config_var("LDSHARED") or "cc -shared"))
    found = os.environ.get("CC") or next((name for name in (linker[0], "cc", "gcc", "clang") if shutil.which(name)), "")
    return [*shlex.split(found or ""), *linker[1:]] if found else [""]


@cache
def _compact() -> tuple[str, ...]:
    """`_COMPACT`, where the compiler knows that."""
    known = [_compiler()[0], *_COMPACT, "-E", "-x", "c", os.devnull]
    return () if subprocess.run(known, capture_output=True, check=False).returncode else _COMPACT  # noqa: S603


def _why_not() -> str:
    if find_spec("Cython") is None:
        return "Cython is not installed"
    if not _compiler()[0]:
        return "there is no C compiler"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        return "the headers of this Python are not installed"
    return ""


def _build(source: Path, root: Path) -> str:
    """What went wrong, "" if nothing did. A file that was there before is gone then."""
    built = built_file(source)
    built.unlink(missing_ok=True)
    module = ".".join(source.relative_to(root / "src").with_suffix("").parts)
    folder = root / "build" / "native"
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"{module}.c"
    include = sysconfig.get_paths()["include"]
    flags = ["-O2", *_compact(), "-g0", "-fPIC", "-fwrapv", "-DNDEBUG", "-w", "-I", include]
    unfinished = built.with_suffix(".part")
    cython = [sys.executable, "-m", "cython", "-3", *_PLAIN, "-I", str(root / "src"), "--module-name", module]
    for command in (
        [*cython, str(_compiled(source, folder)), "-o", str(made)],
        [*_compiler(), *flags, str(made), "-o", str(unfinished)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            unfinished.unlink(missing_ok=True)
            said = (done.stderr or done.stdout).strip().splitlines()
            return "\n  ".join([f"{Path(command[0]).name} failed", *said[-LINES:]])
        if command[0] == sys.executable:
            _mend(made)
    unfinished.replace(built)
    return ""


def _mend(made: Path) -> None:
    """Lookups by name go through quick.h; what is awaited and can say without an exception that it is over (`am_send`) does so.

    A coroutine of Cython that is resumed while an exception is handled, here or by whoever awaits it, looks at the frames of
    its traceback. Attack: crash the gateway with an exception whose `__traceback__` is None by then, as those of refusals are."""
    text = made.read_text()
    text = text.replace(_AWAITED, _SENT + _AWAITED)
    text = _FAILS.sub(r"static QUICK_RARE \1 \2", text)
    text = _BY_NAME.sub(lambda found: found[1] + _QUICK[found[2]], text)
    text = text.replace('#include "Python.h"\n', '#include "Python.h"\n' + QUICK.read_text(), 1)
    for line in ("if (exc_tb) {", "if (likely(exc_tb)) {"):
        text = text.replace(f" {line}\n", " if (exc_tb && PyTraceBack_Check(exc_tb)) {\n")
    made.write_text(text)


if __name__ == "__main__":
    for path in build_all():
        print(path.relative_to(ROOT))
