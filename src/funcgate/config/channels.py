"""The channels on which approvers are asked: names, addresses and secrets, judged together. It opens none of them."""

import base64
import re
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import Struct, structs

from funcgate.approval.spec import ChannelSpec, EmailSpec, PersonSpec, WebhookChannelSpec
from funcgate.core.problem import Problem
from funcgate.core.secret import Secret

from .problems import did_you_mean
from .secrets import Secrets
from .settings import Address
from .shape import Config

Where = tuple[str | int, ...]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_SECRETS = ("token", "signing_secret", "password", "secret")
_NEEDED = ("channel", "app_id", "tenant", "conversation")
_SECRET_BYTES = 24  # as the Standard Webhooks specification says
_WEB = ("https", "http")
_URLS = {"url": _WEB, "service_url": _WEB, "login_url": _WEB, "keys_url": _WEB, "smtp": ("smtp", "smtps")}


class ChannelSettings(Struct, frozen=True):
    """One channel as it is configured, and its secrets by the name of their field."""

    spec: ChannelSpec
    secrets: Mapping[str, Secret]


def channels(config: Config, secrets: Secrets, problems: list[Problem]) -> tuple[ChannelSettings, ...]:
    """The settings of every channel; what is wrong with them is added to `problems`."""
    names: set[str] = set()
    found = []
    for index, spec in enumerate(config.channels):
        where = ("channels", index)
        if not _NAME.fullmatch(spec.name):
            problems.append(Problem((*where, "name"), "a channel's name has letters, digits, - and _ only, 63 at most"))
        elif spec.name in names:
            problems.append(Problem((*where, "name"), f"there are two channels named {spec.name!r}"))
        names.add(spec.name)
        for field, schemes in _URLS.items():
            if hasattr(spec, field):
                problems += _url(getattr(spec, field), schemes, (*where, field))
        if isinstance(spec, EmailSpec):
            problems += _mail(config, spec, where)
        else:
            problems += _people(spec.people, [issuer.name for issuer in config.issuers], (*where, "people"))
        for field in _NEEDED:
            if not getattr(spec, field, "-").strip():
                problems.append(Problem((*where, field), f"`{field}` is empty"))
        given = [field for field in _SECRETS if hasattr(spec, field)]
        if isinstance(spec, EmailSpec) and not spec.password:
            given = []  # a server that asks for none
        read = {field: secrets.read(getattr(spec, field), (*where, field)) for field in given}
        if isinstance(spec, WebhookChannelSpec) and (weak := _weak(read["secret"])):
            problems.append(Problem((*where, "secret"), weak))
        found.append(ChannelSettings(_rooted(spec, secrets, where, problems), read))
    return tuple(found)


def _url(url: str, schemes: tuple[str, ...], where: Where) -> list[Problem]:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        sound = False
    if not sound:
        return [
            Problem(
                where, f"expected {' or '.join(scheme + '://HOST…' for scheme in schemes)}, without user and password"
            )
        ]
    # Attack: read an approver's message, and the channel's token with it, off the wire. Mail says STARTTLS itself.
    if parts.scheme == "http" and not Address(parts.hostname or "", 0).is_loopback:
        return [Problem(where, "http:// is for this machine only; use https://")]
    return []


def _weak(secret: Secret) -> str:
    """What is wrong with the secret that a webhook is signed with; "" if nothing is, or there is none."""
    text = secret.reveal()
    # Attack: guess the key from one signed message, and approve whatever one likes.
    try:
        key = base64.b64decode(text[6:], validate=True) if text.startswith("whsec_") else text.encode()
    except ValueError:
        return "the secret begins with whsec_ and goes on with no base64"
    return f"the secret has fewer than {_SECRET_BYTES} bytes" if text and len(key) < _SECRET_BYTES else ""


def _mail(config: Config, spec: EmailSpec, where: Where) -> list[Problem]:
    found = []
    for at, address in enumerate([spec.sender, *spec.to]):
        if not re.fullmatch(r"[^@\s<>\",;:]+@[^@\s<>\",;:]+", address):
            place = (*where, "to", at - 1) if at else (*where, "sender")
            found.append(Problem(place, f"{address!r} is no mail address"))
    if not spec.to:
        found.append(Problem((*where, "to"), "nobody would be told"))
    if not config.approval_url and config.console.sign_in is None:
        found.append(
            Problem((*where, "name"), "mail needs `console.sign_in` (or `approval_url`): its links lead there")
        )
    if bool(spec.user) != bool(spec.password):
        found.append(Problem((*where, "user"), "`user` and `password` go together"))
    return found


def _rooted(spec: ChannelSpec, secrets: Secrets, where: Where, problems: list[Problem]) -> ChannelSpec:
    """The same, with a `ca` that can be read from anywhere."""
    if not isinstance(spec, EmailSpec) or not spec.ca:
        return spec
    path = str(secrets.base / spec.ca)
    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ValueError) as error:
        problems.append(Problem((*where, "ca"), f"ca cannot be read as PEM certificates ({type(error).__name__})"))
    return structs.replace(spec, ca=path)


def _people(people: list[PersonSpec], issuers: list[str], where: Where) -> list[Problem]:
    found = []
    seen: set[str] = set()
    if not people:
        found.append(Problem(where, "nobody could answer here: list who is who", warning=True))
    for index, person in enumerate(people):
        # Attack: an account without an id, or one that the channel does not name, is somebody who may answer.
        found += [
            Problem((*where, index, field), f"`{field}` is empty")
            for field in ("id", "subject")
            if not getattr(person, field).strip()
        ]
        if person.id in seen:
            # Attack, or a slip: one account of the channel that is two people, and makes up a quorum alone.
            found.append(Problem((*where, index, "id"), f"{person.id!r} is listed twice"))
        seen.add(person.id)
        if person.issuer not in issuers:
            hint = did_you_mean(person.issuer, issuers)
            found.append(Problem((*where, index, "issuer"), f"there is no issuer {person.issuer!r}{hint}"))
    return found
