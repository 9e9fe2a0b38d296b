"""The operators' console as the configuration says: where it listens, and its pages. Workers do without all of it."""

import socket
from collections.abc import Callable

from litestar import Router

from funcgate.config.console import SignInSettings
from funcgate.config.settings import Address
from funcgate.console import bind
from funcgate.console.access import Access
from funcgate.console.pages.routes import pages
from funcgate.console.pages.sign_in import Door
from funcgate.console.sessions import Sessions
from funcgate.core.ports import Journal
from funcgate.core.refusal import Code
from funcgate.identity import Issuers
from funcgate.identity.code_flow import Client, CodeFlow

from .approving import Approving
from .building import StartFailed


def bound(address: Address) -> socket.socket:
    """A socket for the console. Raises `StartFailed`."""
    try:
        return bind(*address)
    except OSError as error:
        raise StartFailed(f"listen.console: {address}: {error.strerror or error}") from None


def pages_of(
    settings: SignInSettings,
    approving: Approving,
    access: Access,
    journal: Journal,
    admit: Callable[[Code], bool],
    issuers: Callable[[], Issuers],
) -> Router:
    """`issuers` gives those of the configuration that serves now; `admit` says whether one more refusal gets an entry."""
    client = Client(
        issuer=settings.issuer, client_id=settings.client_id, redirect_url=f"{settings.public_url}/sign-in/callback",
        secret=settings.client_secret, authorize_url=settings.authorize_url, token_url=settings.token_url,
        scopes=settings.scopes,
    )  # fmt: skip
    sessions = Sessions(settings.idle_s, settings.longest_s, revoked=issuers().revoked)
    door = Door(settings.public_url, sessions, journal, admit)
    flow = CodeFlow(client, issuers)
    return pages(door, flow, settings.issuer, approving.answers, approving.store, access, approving.tickets)
