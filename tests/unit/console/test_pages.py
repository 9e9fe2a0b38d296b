"""What the pages do when the record or the store cannot be written: nothing, and they say so."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from funcgate.approval.answers import Answers
from funcgate.approval.desk import HumanDesk
from funcgate.approval.tickets import Tickets
from funcgate.console.access import Access
from funcgate.console.pages.routes import pages
from funcgate.console.pages.sign_in import Door
from funcgate.console.sessions import Sessions
from funcgate.core.approval import StoreFailed
from funcgate.core.principal import make_principal
from funcgate.identity import Issuers, IssuerSpec
from funcgate.identity.code_flow import Client, CodeFlow
from funcgate.stores.memory import MemoryJournal
from funcgate.stores.memory_approvals import MemoryApprovals
from support.authority import ISSUER, Authority
from support.provider import TokenEndpoint

ORIGIN = "http://127.0.0.1:8090"


class LostApprovals(MemoryApprovals):
    """A store that cannot be read."""

    async def find(self, *_: Any, **__: Any) -> Any:
        raise StoreFailed("state.db: OperationalError")


class House:
    def __init__(self, endpoint: TokenEndpoint, authority: Authority) -> None:
        self.journal, self.sessions, self.endpoint, self.authority = (
            MemoryJournal(),
            Sessions(60, 600),
            endpoint,
            authority,
        )
        spec = IssuerSpec(name="corp", issuer=ISSUER, audience="funcgate", jwks_file=str(authority.jwks_file))
        issuers, store = Issuers([spec], base=Path()), LostApprovals()
        client = Client(
            issuer="corp", client_id="console", redirect_url=f"{ORIGIN}/sign-in/callback",
            authorize_url="https://idp.test/authorize", token_url=endpoint.url,
        )  # fmt: skip
        door = Door(ORIGIN, self.sessions, self.journal, lambda _: True)
        answers = Answers(HumanDesk(store, self.journal, lambda _: None))
        flow = CodeFlow(client, lambda: issuers)
        router = pages(door, flow, "corp", answers, store, Access(issuers, {}), Tickets(store, f"{ORIGIN}/approvals"))
        self.browser = TestClient(Litestar([router], openapi_config=None), base_url=ORIGIN)

    def callback(self) -> str:
        began = self.browser.get("/sign-in/start", follow_redirects=False)
        asked = parse_qs(urlsplit(began.headers["location"]).query)
        token = self.authority.token("bob", ("finance",), aud="console", nonce=asked["nonce"][0])
        self.endpoint.says(id_token=token)
        return f"/sign-in/callback?code=c&state={asked['state'][0]}"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    endpoint = TokenEndpoint().start()
    made = House(endpoint, Authority(tmp_path))
    with made.browser:
        yield made
    endpoint.stop()


def test_a_sign_in_that_cannot_be_recorded_does_not_happen(house: House) -> None:
    house.journal.fail()
    answer = house.browser.get(house.callback(), follow_redirects=False)
    assert answer.status_code == 503
    assert "funcgate" not in house.browser.cookies
    house.journal.recover()
    answer = house.browser.get(house.callback(), follow_redirects=False)
    assert answer.status_code == 303
    assert house.sessions.find(house.browser.cookies["funcgate"]) is not None


def test_a_sign_out_that_cannot_be_recorded_ends_the_session(house: House) -> None:
    name = house.sessions.begin(make_principal("corp", "bob", frozenset(), {}, "f00d", 0.0))
    session = house.sessions.find(name)
    assert session is not None
    house.browser.cookies.set("funcgate", name)
    house.journal.fail()
    answer = house.browser.post("/sign-out", data={"csrf": session.csrf}, headers={"origin": ORIGIN})
    assert answer.status_code == 503
    assert house.sessions.find(name) is None


def test_a_store_that_cannot_be_read_is_said_so(house: House) -> None:
    house.browser.cookies.set(
        "funcgate", house.sessions.begin(make_principal("corp", "bob", frozenset(), {}, "f", 0.0))
    )
    answer = house.browser.get("/approvals")
    assert answer.status_code == 503
    assert "OperationalError" not in answer.text


def test_whoever_names_no_session_is_asked_who_they_are(house: House) -> None:
    for name in ("", "x", "x" * 3000):
        house.browser.cookies.set("funcgate", name)
        answer = house.browser.get("/approvals/01M?ticket=t", follow_redirects=False)
        assert answer.status_code == 303
        assert answer.headers["location"] == "/sign-in?back=%2Fapprovals%2F01M%3Fticket%3Dt"
