"""What is built in, as explicit lists. Nothing registers itself by being imported: what is not named here does not exist."""

from collections.abc import Callable, Mapping
from functools import partial

from funcgate.approval.channels.channel import Channel
from funcgate.approval.channels.email import EmailChannel
from funcgate.approval.channels.slack import SlackChannel
from funcgate.approval.channels.teams import TeamsChannel
from funcgate.approval.channels.webhook import WebhookChannel
from funcgate.catalog import Readers, load_http
from funcgate.catalog.sql import load_sql
from funcgate.config.parts import LoadFunctions
from funcgate.wire import forms, strict_json

PROTOCOLS: Mapping[str, LoadFunctions] = {
    "http": partial(load_http, readers=Readers(json=strict_json.loads, form=forms.loads)),
    "postgres": load_sql,
}

# By `type`; each is made from its spec and, by name, its secrets.
CHANNELS: Mapping[str, Callable[..., Channel]] = {
    "email": EmailChannel,
    "slack": SlackChannel,
    "teams": TeamsChannel,
    "webhook": WebhookChannel,
}
