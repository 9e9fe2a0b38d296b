"""The whole file as typed, frozen structs: which keys there are, of which kind, with which defaults.

Only the shape. What the values mean is judged by the parts, and put together in assemble.py.
"""

from msgspec import Struct

from funcgate.approval.spec import ChannelSpec
from funcgate.config.glance import DEFAULT_DATA_DIR
from funcgate.identity import IssuerSpec
from funcgate.masking import RuleSpec
from funcgate.policy import PolicySpec

from .console import ConsoleSpec, LogsSpec
from .listen import ListenSpec
from .record import ForwardSpec, IndexSpec, JournalSpec, KeepSpec, ProofSpec
from .targets import TargetSpec


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file."""

    listen: ListenSpec = ListenSpec()
    data_dir: str = DEFAULT_DATA_DIR
    state: str | None = None
    journal: JournalSpec = JournalSpec()
    proof: ProofSpec = ProofSpec()
    index: IndexSpec = IndexSpec()
    retention: list[KeepSpec] = []
    forward: list[ForwardSpec] = []
    issuers: list[IssuerSpec] = []
    roles: dict[str, list[str]] = {}
    targets: list[TargetSpec] = []
    policies: list[PolicySpec] = []
    masking: list[RuleSpec] = []
    channels: list[ChannelSpec] = []
    logs: LogsSpec = LogsSpec()
    console: ConsoleSpec = ConsoleSpec()
    approval_url: str | None = None
