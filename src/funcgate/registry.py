"""What is built in, as explicit lists. Nothing registers itself by being imported: what is not named here does not exist."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from funcgate.approval.channels.channel import Channel
from funcgate.approval.channels.email import EmailChannel
from funcgate.approval.channels.slack import SlackChannel
from funcgate.approval.channels.teams import TeamsChannel
from funcgate.approval.channels.webhook import WebhookChannel
from funcgate.catalog import Readers, load_http
from funcgate.catalog.proto import Asking, NotReflected, load_proto, reflect
from funcgate.catalog.sql import load_sql
from funcgate.config.parts import LoadFunctions
from funcgate.config.shape.limits import UpstreamTlsSpec
from funcgate.config.shape.targets import GrpcTargetSpec
from funcgate.core.lease import NO_LEASE
from funcgate.core.problem import Problem, Unusable
from funcgate.core.refusal import Refused
from funcgate.credentials import Broker
from funcgate.wire import forms, strict_json

PROTOCOLS: Mapping[str, LoadFunctions] = {
    "http": partial(load_http, readers=Readers(json=strict_json.loads, form=forms.loads)),
    "grpc": load_proto,
    "postgres": load_sql,
}

# By `type`; each is made from its spec and, by name, its secrets.
CHANNELS: Mapping[str, Callable[..., Channel]] = {
    "email": EmailChannel,
    "slack": SlackChannel,
    "teams": TeamsChannel,
    "webhook": WebhookChannel,
}


def ask_grpc(spec: GrpcTargetSpec, base: Path) -> bytes:
    """What a gRPC target says of itself, to the gateway as it is called if `credential` says so. Raises `Unusable`."""
    parts, tls = urlsplit(spec.url), spec.tls or UpstreamTlsSpec()
    secure = parts.scheme == "https"
    ca, cert, key = ("" if path is None else str(base / path) for path in (tls.ca, tls.cert, tls.key or tls.cert))
    lease = NO_LEASE
    if spec.functions.credential:
        try:
            lease = Broker({spec.name: (spec.credential, ())}, base=base).lend(spec.name)
        except Refused as refused:
            raise Unusable([Problem(where=(), text=refused.private_detail)]) from None
    asking = Asking(
        host=parts.hostname or "",
        port=parts.port or (443 if secure else 80),
        tls=secure,
        ca=ca,
        cert=cert,
        key=key,
        server_name=tls.server_name or "",
        headers=lease.headers,
    )
    try:
        return reflect(asking)
    except NotReflected as why:
        raise Unusable([Problem(where=(), text=str(why))]) from None
