"""How channels are spelled in the configuration. Shapes only; secrets are references, ``env:NAME`` or ``file:PATH``."""

from msgspec import Struct


class PersonSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who an identity of the channel (`id`: a Slack or Teams user, an e-mail address) is: only who is listed can answer."""

    id: str
    issuer: str
    subject: str
    groups: list[str] = []


class SlackSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="slack"):
    """A Slack app: `token` (``xoxb-…``) posts to `channel`, `signing_secret` verifies its interactions. `url` is Slack's API."""

    name: str
    token: str
    signing_secret: str
    channel: str
    people: list[PersonSpec]
    url: str = "https://slack.com/api/"


class TeamsSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="teams"):
    """A Microsoft Teams bot: `app_id`, `password` and `tenant` get its tokens; it posts to `conversation` at `service_url`.

    `login_url` and `keys_url` are the Bot Framework's."""

    name: str
    app_id: str
    password: str
    tenant: str
    conversation: str
    people: list[PersonSpec]
    service_url: str = "https://smba.trafficmanager.net/teams/"
    login_url: str = "https://login.microsoftonline.com/"
    keys_url: str = "https://login.botframework.com/v1/.well-known/keys"


class WebhookChannelSpec(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="webhook"
):
    """A receiver of your own: told by POST to `url`, answers by POST; both signed with `secret` (Standard Webhooks)."""

    name: str
    url: str
    secret: str
    people: list[PersonSpec]


class EmailSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="email"):
    """Mail by SMTP: ``smtp://HOST:587`` (STARTTLS) or ``smtps://HOST:465``; ``smtp://`` in clear only to loopback, and not where
    `ca` (PEM) names whom to trust. The links in it need a sign-in at the console."""

    name: str
    smtp: str
    sender: str
    to: list[str]
    user: str = ""
    password: str = ""
    ca: str = ""


ChannelSpec = SlackSpec | TeamsSpec | WebhookChannelSpec | EmailSpec
