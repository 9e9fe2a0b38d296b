"""What the keeper is told: the settings of its chores, as they travel over its pipe. Secrets travel nowhere else."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from funcgate.core.secret import Secret

Tells = Literal["rfc5424", "cef", "ocsf"]


class ProofSettings(Struct, frozen=True, kw_only=True):
    """`origin` "" takes the one made of the key, `key` "" the key in the data folder; else it is a path (PEM).

    `copies` are URLs: ``file:///PATH``, ``s3://BUCKET/PREFIX``, ``https://…``; ``http://`` to a loopback address.
    """

    origin: str = ""
    every_s: float = 10.0
    key: str = ""
    copies: tuple[str, ...] = ()


class IndexSettings(Struct, frozen=True, kw_only=True):
    """Whether there is a search index, and whether it holds the words of arguments and answers."""

    enabled: bool = True
    text: bool = True


class KeepRule(Struct, frozen=True, kw_only=True):
    """How long each class of what is recorded of some targets is kept, None for ever. Never longer than the next class.

    `targets` are names; ``*`` is any, also what belongs to no target. `folder` is where their content lies from now on, "" in
    the data folder.
    """

    targets: tuple[str, ...]
    content_s: float | None = None
    metadata_s: float | None = None
    decisions_s: float | None = None
    folder: str = ""


class SyslogSettings(Struct, frozen=True, kw_only=True, tag_field="type", tag="syslog"):
    """`ca` is the path of a PEM file, "" for the system's authorities; without `tls` it goes in clear. `content` says that
    arguments and answers go too."""

    name: str
    host: str
    port: int
    tls: bool
    ca: str = ""
    format: Tells = "rfc5424"
    content: bool = False


class WebhookSettings(Struct, frozen=True, kw_only=True, tag_field="type", tag="webhook"):
    name: str
    url: str
    secret: Secret
    ca: str = ""
    content: bool = False


class OtlpSettings(Struct, frozen=True, kw_only=True, tag_field="type", tag="otlp"):
    name: str
    url: str
    headers: Mapping[str, Secret] = {}
    ca: str = ""
    content: bool = False


ForwardSettings = SyslogSettings | WebhookSettings | OtlpSettings


class KeeperSettings(Struct, frozen=True, kw_only=True):
    """All of it. `sync` says when an entry counts as written (``always``, or ``interval 5ms``), for the checkpoints.

    `encryption` is the key of the content at rest, in hex; None when content is not encrypted. `keep_free_bytes` are kept for
    refusals: the keeper leaves them alone too.
    """

    data_dir: str
    sync: str = "always"
    keep_free_bytes: int = 64 << 20
    encryption: Secret | None = None
    proof: ProofSettings = ProofSettings()
    index: IndexSettings = IndexSettings()
    retention: tuple[KeepRule, ...] = ()
    forward: tuple[ForwardSettings, ...] = ()
