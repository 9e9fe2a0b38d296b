"""One look into the file for a command that needs one value of it and none of the parts. It judges nothing."""

from pathlib import Path

from .problems import Faulty, Located
from .source import Source

DEFAULT_DATA_DIR = "./funcgate-data"
DEFAULT_CONSOLE = "127.0.0.1:8090"


def read_file(path: Path) -> bytes:
    """Raises `Faulty`."""
    try:
        return path.read_bytes()
    except OSError as error:
        hint = "; say which with --config FILE" if isinstance(error, FileNotFoundError) else ""
        text = f"the configuration cannot be read: {error.strerror}{hint}"
        raise Faulty([Located(file=str(path), text=text)]) from None


def data_dir_of(path: Path) -> Path:
    """Where the journal is; also of a configuration that could not be served. Raises `Faulty`."""
    tree = Source(str(path), read_file(path)).tree
    named = tree.get("data_dir", DEFAULT_DATA_DIR) if isinstance(tree, dict) else None
    if not isinstance(named, str):
        raise Faulty([Located(file=str(path), text="'data_dir' is not text; say where the journal is with --data-dir")])
    return path.parent / named


def state_of(path: Path, data_dir: Path) -> Path:
    """The database of held calls; also of a configuration that could not be served. Raises `Faulty`."""
    tree = Source(str(path), read_file(path)).tree
    named = tree.get("state") if isinstance(tree, dict) else None
    return path.parent / named if isinstance(named, str) else data_dir / "state.db"


def console_of(path: Path) -> str:
    """``HOST:PORT`` of the console; also of a configuration that could not be served. Raises `Faulty`."""
    tree = Source(str(path), read_file(path)).tree
    listen = tree.get("listen") if isinstance(tree, dict) else None
    named = listen.get("console", DEFAULT_CONSOLE) if isinstance(listen, dict) else DEFAULT_CONSOLE
    if not isinstance(named, str):
        raise Faulty(
            [Located(file=str(path), text="'listen.console' is not text; say where the gateway is with --url")]
        )
    return named


def copies_of(path: Path) -> list[str]:
    """Where copies of checkpoints go, as URLs; also of a configuration that could not be served. Raises `Faulty`."""
    tree = Source(str(path), read_file(path)).tree
    proof = tree.get("proof") if isinstance(tree, dict) else None
    named = proof.get("copies") if isinstance(proof, dict) else None
    copies = [copy for copy in named if isinstance(copy, str)] if isinstance(named, list) else []
    return [_absolute(copy, path.parent) if copy.startswith("file:") else copy for copy in copies]


def _absolute(copy: str, base: Path) -> str:
    rest = copy.removeprefix("file:")
    return (base / (rest.removeprefix("//") if rest.startswith("///") else rest)).absolute().as_uri()
