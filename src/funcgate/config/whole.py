"""Checks that look at the file as a whole: what would load but do nothing, and names that must not meet."""

import re
from collections.abc import Collection, Iterator

from funcgate.core.problem import Problem
from funcgate.core.selector import is_principal_selector

from .shape import Config

_HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")
_FIELD = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_NEVER_FORWARDED = frozenset(
    {
        "connection", "content-length", "expect", "funcgate-approval", "funcgate-token", "host", "keep-alive",
        "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
_NEEDED = {
    "issuers": "nobody could prove who they are",
    "targets": "there would be nothing to call",
    "policies": "every call would be denied",
}


def check_effect(config: Config, lost: Collection[str]) -> Iterator[Problem]:
    """A gateway that no call can get through is a slip. `lost` are the sections that were not read whole."""
    for section, why in _NEEDED.items():
        if not getattr(config, section) and section not in lost:
            yield Problem(where=(section,), text=f"there are no {section}: {why}")
    if config.policies and "policies" not in lost and all(policy.effect == "deny" for policy in config.policies):
        yield Problem(where=("policies",), text="no policy allows anything: every call would be denied")


def check_reach(config: Config, broken: Collection[str]) -> Iterator[Problem]:
    """A target that no policy lets anyone call is most likely a slip, but a safe one."""
    allowing = [policy for policy in config.policies if policy.effect != "deny"]
    heads = {pattern.split(".")[0] for policy in allowing for pattern in policy.functions}
    for index, spec in enumerate(config.targets):
        if heads and spec.name not in heads and spec.name not in broken and not any("*" in head for head in heads):
            text = f"no policy allows any function of '{spec.name}': every call of it is denied"
            yield Problem(where=("targets", index, "name"), text=text, warning=True)


def check_roles(config: Config) -> Iterator[Problem]:
    for role, selectors in config.roles.items():
        for index, selector in enumerate(selectors):
            if not is_principal_selector(selector):
                text = f"'{selector}' is not group:NAME, user:SUBJECT or *"
                yield Problem(where=("roles", role, index), text=text)


def read_hosts(config: Config, problems: list[Problem]) -> dict[str, str]:
    """Host name, in lower case, to target."""
    hosts: dict[str, str] = {}
    for index, spec in enumerate(config.targets):
        for at, host in enumerate(getattr(spec, "hosts", ())):
            where = ("targets", index, "hosts", at)
            if not _HOST.fullmatch(host):
                problems.append(Problem(where=where, text=f"'{host}' is not a host name (without a port)"))
            elif host.lower() in hosts:
                problems.append(Problem(where=where, text=f"'{host}' is given to two targets"))
            else:
                hosts[host.lower()] = spec.name
    return hosts


def check_approval_url(config: Config) -> Iterator[Problem]:
    url = config.approval_url
    if url is not None and not re.fullmatch(r"https?://[!-~]+", url):
        yield Problem(where=("approval_url",), text="'approval_url': expected http://… or https://…")


def check_forwarded(names: list[str], where: tuple[str | int, ...]) -> Iterator[Problem]:
    """Fields that a target may be sent although they are withheld by default."""
    for at, name in enumerate(names):
        if not _FIELD.fullmatch(name):
            yield Problem(where=(*where, at), text=f"'{name}' is not a field name (RFC 9110, section 5.1)")
        elif name.lower() in _NEVER_FORWARDED:
            # Attack: smuggle a second message past the gateway by way of its framing fields.
            yield Problem(where=(*where, at), text=f"'{name}' belongs to one connection and is never forwarded")
