"""What one version of the configuration comes to, and what is needed to put it together."""

import os
import secrets
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from funcgate.core.budget import Budget
from funcgate.core.function import Function, Limits
from funcgate.core.problem import Problem
from funcgate.credentials import Broker
from funcgate.identity import Issuers
from funcgate.masking import MaskingPlan
from funcgate.policy import PolicySet
from funcgate.recording.keeper.settings import KeeperSettings
from funcgate.wire.http2.limits import Http2Limits, Times

from .channels import ChannelSettings
from .console import SignInSettings
from .cors import CorsSettings
from .grpc import Reflect
from .load import Loaded
from .postgres import Oauth
from .problems import Located
from .settings import Address, JournalSettings, ListenLimits
from .shape.limits import UpstreamTlsSpec
from .shape.postgres import PostgresTargetSpec
from .shape.targets import GrpcTargetSpec, HttpTargetSpec

Where = tuple[str | int, ...]


class Catalogue(Protocol):
    """A target's functions, whatever the protocol: full name to function. `warnings` do not stop it."""

    functions: Mapping[str, Function]
    warnings: tuple[Problem, ...]


LoadFunctions = Callable[
    ..., Catalogue
]  # target, what the file says, folder, place in the file; a reflecting one's answer
CallableSpec = HttpTargetSpec | GrpcTargetSpec | PostgresTargetSpec


class Target(Struct, frozen=True, kw_only=True):
    """One target that can be called. `http2` is None where it speaks something else."""

    spec: CallableSpec
    catalogue: Catalogue
    limits: Limits
    tls: UpstreamTlsSpec
    budgets: tuple[Budget, ...] = ()
    oauth: Oauth | None = None
    http2: tuple[Http2Limits, Times] | None = None


class Parts(Struct, frozen=True, kw_only=True):
    """Everything that one version of the configuration decides, ready to serve. `approval_url` is where people see approvals, ""
    if nowhere. `warnings` do not stop it. `workers` processes carry calls; with several, see `config.workers.share`."""

    loaded: Loaded
    calls: Address
    console: Address
    postgres: Address | None
    cors: CorsSettings | None
    server_tls: ssl.SSLContext | None
    postgres_tls: ssl.SSLContext | None
    limits: ListenLimits
    journal: JournalSettings
    keeper: KeeperSettings
    issuers: Issuers
    broker: Broker
    policies: PolicySet
    masking: MaskingPlan
    targets: Mapping[str, Target]
    functions: Mapping[str, Function]
    hosts: Mapping[str, str]
    channels: tuple[ChannelSettings, ...]
    sign_in: SignInSettings | None
    approval_url: str
    warnings: tuple[Located, ...]
    workers: int = 1

    @property
    def version(self) -> str:
        return self.loaded.version


class Options(Struct, frozen=True, kw_only=True):
    """`protocols` says which protocols there are, and how each reads its functions. `hash_key` gives the key for masking by
    hash, from the data folder. `previous` is what serves now: its keys and tokens are taken over. `need_secrets` False
    leaves the credentials out, for a look at the policies alone. `carrying` leaves out those that carry no call: of channels,
    of sign-in, of what the record is sent to. `reflect` asks targets for their functions. `environ` is where secrets are looked
    up, the process's own environment if None."""

    protocols: Mapping[str, LoadFunctions]
    hash_key: Callable[[Path], bytes]
    previous: Parts | None = None
    need_secrets: bool = True
    carrying: bool = False
    reflect: Reflect | None = None
    environ: Mapping[str, str] | None = None

    def __repr__(self) -> str:
        return "Options(…)"


def hash_key(data_dir: Path, *, create: bool) -> bytes:
    """The installation's key for masking by hash, in ``mask.key``; made when there is none and `create` says so.

    Raises `OSError` when it cannot be read or made; without `create`, a key for one use stands in for a missing one.
    """
    path = data_dir / "mask.key"
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        if not create:
            return secrets.token_bytes(32)
        return _new_key(path)
    if len(key) < 32:
        raise OSError(f"{path} is cut short; restore it, or delete it (equal values will then hash differently)")
    return key


def _new_key(path: Path) -> bytes:
    """Written beside and linked into place: a crash leaves a whole key or none."""
    key = secrets.token_bytes(32)
    beside = path.with_name(f".mask.key.{os.getpid()}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        os.link(beside, path)
    finally:
        os.unlink(beside)
    return key
