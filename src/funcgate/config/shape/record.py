"""What is recorded, how it is proved, searched and kept, and where it is sent besides."""

from typing import Literal

from msgspec import Struct

from .units import Size, Time


class EncryptionSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the key is: ``env:NAME`` or ``file:PATH``."""

    key: str


class JournalSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When an entry counts as written (after its own sync, or after the last one in an interval), what is recorded and how
    it is kept. `encryption` is the key of the content at rest; `elsewhere_timeout` how long a folder of `retention` may take
    to store content, `elsewhere_waiting` how much may wait for one."""

    sync: Literal["always", "interval"] = "always"
    every: Time = "5ms"
    segment: Size = "64MiB"
    keep_free: Size = "64MiB"
    reserve: Size = "8MiB"
    queue: int = 20_000
    inline: Size = "64KiB"
    record: Size = "32MiB"
    encryption: EncryptionSpec | None = None
    elsewhere_timeout: Time = "10s"
    elsewhere_waiting: Size = "64MiB"


class ProofSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the record proves that it is whole: who signs it, how often, and where the checkpoints go besides."""

    origin: str | None = None
    every: Time = "10s"
    key: str | None = None
    copies: list[str] = []


class IndexSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The search index; `text` says whether it holds the words of arguments and answers."""

    enabled: bool = True
    text: bool = True


class WhereSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where each class lies: a folder. Only content can lie elsewhere; the others are here to be refused with a reason."""

    content: str | None = None
    metadata: str | None = None
    decisions: str | None = None


class KeepSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long some targets' content, metadata and decisions are kept, and where. Nothing said: as long as the next of the
    three, and decisions for ever; in the data folder. A folder alone is that of the content."""

    targets: list[str]
    content: Time | None = None
    metadata: Time | None = None
    decisions: Time | None = None
    where: str | WhereSpec | None = None


class SyslogSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="syslog"):
    """RFC 5424 over TCP (``tcp://HOST:PORT``) or TLS (``tls://HOST:PORT``, RFC 5425)."""

    name: str
    address: str
    ca: str | None = None
    format: Literal["rfc5424", "cef", "ocsf"] = "rfc5424"
    content: bool = False


class WebhookSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="webhook"):
    """Signed batches over HTTP."""

    name: str
    url: str
    secret: str
    ca: str | None = None
    content: bool = False


class OtlpSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="otlp"):
    """OpenTelemetry logs over HTTP. The values of `headers` are secrets."""

    name: str
    url: str
    headers: dict[str, str] = {}
    ca: str | None = None
    content: bool = False


ForwardSpec = SyslogSpec | WebhookSpec | OtlpSpec
