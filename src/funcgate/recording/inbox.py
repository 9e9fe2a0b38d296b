"""What an administrator orders without talking to the gateway: files in ``data_dir/inbox/``, each one `admin` entry to be.

A gateway records them within about a second, with the file's owner as the one who ordered; without one they wait there.
It carries nothing out: whoever follows the journal does, once the entry is in it.
"""

import contextlib
import errno
import os
import pwd
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from funcgate.core.ids import new_id

FOLDER = "inbox"
REFUSED = "refused"
MAX_ORDER_BYTES = 64 << 10
MAX_WAITING = 1000
_LATER = (errno.ENOENT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO)  # no fault of the file's
_NAME = re.compile(r"([0-9A-HJKMNP-TV-Z]{26})\.json")

# What may be ordered. Attack: an order that looks like an entry which only the gateway itself may write.
ORDERS = frozenset({"hold", "release", "export", "clock", "rekey", "orphans"})


class BadOrder(ValueError):
    """No order that could be recorded. Says why; holds nothing of what was in the file."""


class Order(NamedTuple):
    """An order that waits. `owner` is the file's: a name of this system, or the number where there is none."""

    id: str
    path: Path
    change: Mapping[str, Any]
    owner: str
    uid: int


def order(data_dir: Path, change: Mapping[str, Any]) -> str:
    """Leave an order; its id. Durable on return, whether a gateway runs or not.

    ``change["what"]`` is one of `ORDERS`. Raises `BadOrder` for what would not be taken, `OSError` when it cannot be left.
    """
    data = msgspec.json.encode(change)
    _judge(change, len(data))
    if not data_dir.is_dir():
        raise BadOrder(f"{data_dir} is no data folder of a gateway")
    inbox = prepare(data_dir)
    if sum(1 for _ in _names(inbox)) >= MAX_WAITING:
        raise BadOrder(f"{MAX_WAITING} orders wait already, and no gateway takes them: start it")
    name = new_id()
    beside = inbox / f".{name}.{os.getpid()}"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(
                file.fileno(), 0o644
            )  # the gateway may be another user than root; nobody else gets into the folder
            os.fsync(file.fileno())
        beside.rename(inbox / f"{name}.json")
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync(inbox)
    return name


def prepare(data_dir: Path) -> Path:
    """The folder, made when it is missing, for the owner of the data folder. Raises `OSError`."""
    inbox = data_dir / FOLDER
    with contextlib.suppress(FileExistsError):
        inbox.mkdir(mode=0o700)
        owner = data_dir.stat()
        if owner.st_uid != os.geteuid():
            os.chown(inbox, owner.st_uid, owner.st_gid)
    return inbox


def waiting(inbox: Path) -> list[Path]:
    """The files of the orders, oldest first. Raises `OSError`."""
    return sorted(_names(inbox))[:MAX_WAITING]


def read(path: Path) -> Order:
    """The order in a file. Raises `BadOrder`, and `OSError` when it cannot be read now."""
    # Attack: a link to a file that the gateway may read and the one who left it may not, or a pipe that never ends.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in _LATER:
            raise
        raise BadOrder(f"it cannot be read ({error.strerror})") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise BadOrder("it is no ordinary file")
        if found.st_mode & 0o022:
            # Attack: somebody else writes what the owner then seems to have ordered.
            raise BadOrder("others than its owner may write it")
        data = os.read(descriptor, MAX_ORDER_BYTES + 1)
    finally:
        os.close(descriptor)
    try:
        change = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadOrder("it holds no JSON object") from None
    _judge(change, len(data))
    return Order(path.name.removesuffix(".json"), path, change, _user(found.st_uid), found.st_uid)


def done(path: Path) -> None:
    """The order is in the journal. Raises `OSError`."""
    path.unlink(missing_ok=True)
    sync(path.parent)


def set_aside(path: Path) -> Path:
    """Keep what cannot be taken, out of the way; where it is now. Raises `OSError`."""
    aside = path.parent / REFUSED
    aside.mkdir(mode=0o700, exist_ok=True)
    to, number = aside / path.name, 0
    while to.exists() or to.is_symlink():  # never over another one
        number += 1
        to = aside / f"{path.name}.{number}"
    path.rename(to)
    sync(aside)
    return to


def foreign(inbox: Path) -> list[Path]:
    """What is neither an order nor on its way to be one. Raises `OSError`."""
    return [
        inbox / name
        for name in os.listdir(inbox)
        if not _NAME.fullmatch(name) and not name.startswith(".") and name != REFUSED
    ]


def sync(folder: Path) -> None:
    """Make the folder's names durable. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _names(inbox: Path) -> Iterator[Path]:
    return (inbox / name for name in os.listdir(inbox) if _NAME.fullmatch(name))


def _judge(change: Mapping[str, Any], size: int) -> None:
    what = change.get("what")
    if not isinstance(what, str) or what not in ORDERS:
        raise BadOrder(f"'what' must be one of {', '.join(sorted(ORDERS))}")
    if size > MAX_ORDER_BYTES:
        raise BadOrder(f"it is larger than {MAX_ORDER_BYTES >> 10} KiB")


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
