"""``.proto`` files to descriptors, by protoc in a process of its own."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from .children import Failed, run_python
from .pool import MAX_BYTES

TIMEOUT_S = 30.0


class NotCompiled(Exception):
    """protoc refused. `args[0]` says why, in its words, with the file and the line."""


def compile_files(files: Sequence[Path], *, timeout_s: float = TIMEOUT_S) -> bytes:
    """A FileDescriptorSet with everything that the files import. Each may import those beside it, those beside the others,
    and google's own. Blocks. Raises `NotCompiled`."""
    full = [file.resolve() for file in files]
    own = dict.fromkeys(str(file.parent) for file in full)
    folders = [*own, *_bundled()]
    arguments = ["-m", "grpc_tools.protoc", "--include_imports", "--include_source_info"]
    arguments += [
        "--descriptor_set_out=/dev/stdout",
        *(f"--proto_path={folder}" for folder in folders),
        *map(str, full),
    ]
    try:
        return run_python(arguments, max_bytes=MAX_BYTES, timeout_s=timeout_s)
    except Failed as why:
        text = str(why)
        for folder in own:
            text = text.replace(f"{folder}/", "")
        raise NotCompiled(text) from None


def _bundled() -> list[str]:
    """Where google/protobuf/*.proto and google/rpc/*.proto are installed. Looked up without importing the packages."""
    found = []
    for package, below in (("grpc_tools", "_proto"), ("google.rpc", "../..")):
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
            found.append(str((Path(folder) / below).resolve()))
    return found
