"""A destination's settings into its chore."""

import ssl
from pathlib import Path

from funcgate.recording.chore import ChoreFailed
from funcgate.recording.contents import ContentError, Opener
from funcgate.recording.keeper.settings import (
    ForwardSettings,
    KeeperSettings,
    SyslogSettings,
    WebhookSettings,
)

from .destination import Destination
from .forwarder import Ask, Forwarder


def forwarder(settings: KeeperSettings, to: ForwardSettings, ask: Ask) -> Forwarder:
    """Raises `ChoreFailed` when a file that it needs cannot be used."""
    data_dir, key = Path(settings.data_dir), settings.encryption
    try:
        opener = Opener(data_dir, None if key is None else bytes.fromhex(key.reveal()))
        destination = _destination(to)
    except (ContentError, OSError) as error:
        raise ChoreFailed(f"{to.name}: {error}") from None
    return Forwarder(to.name, data_dir, destination, opener, content=to.content, ask=ask)


def _destination(to: ForwardSettings) -> Destination:
    if isinstance(to, SyslogSettings):
        from .syslog import Syslog

        return Syslog(to.host, to.port, _trust(to.ca) if to.tls else None, to.format)
    if isinstance(to, WebhookSettings):
        from .webhook import Webhook

        return Webhook(to.url, to.secret, _trust(to.ca))
    from .otlp import Otlp

    return Otlp(to.url, to.headers, to.ca)


def _trust(ca: str) -> ssl.SSLContext:
    """That PEM file, or the public authorities for ""."""
    context = ssl.create_default_context(cafile=ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
