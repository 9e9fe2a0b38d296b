"""A sample payments service: a real HTTP application that knows nothing of funcgate. Its data is invented.

It wants one API key from whoever calls, keeps a ledger of what reached it, and answers with cards, e-mail addresses
and social security numbers, unmasked, as such services do. `python -m funcgate.demo.payments --port N` runs it alone.
"""

import hashlib
import hmac
import os
import sys
import time
from collections import deque
from typing import Annotated, Any, Literal

from litestar import Controller, Litestar, Request, delete, get, post
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.exceptions import ClientException, NotAuthorizedException, NotFoundException
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from msgspec import Meta, Struct

from .loopback import serve_main
from .sample_data import CUSTOMERS, TRANSFERS

KEY_VARIABLE = "PAYMENTS_KEY"
LEDGER_LINES = 200_000


class NewTransfer(Struct, forbid_unknown_fields=True):
    to: str
    amount: Annotated[int, Meta(ge=1)]
    currency: Literal["EUR", "GBP", "USD"]
    reference: str = ""


class NewRefund(Struct, forbid_unknown_fields=True):
    amount: Annotated[int, Meta(ge=1)]
    reason: str = ""


class Books:
    """The service's state: transfers, customers, and the ledger of every request that got past the key."""

    def __init__(self) -> None:
        self.customers = {customer["id"]: customer for customer in CUSTOMERS}
        self.transfers = {transfer["id"]: dict(transfer) for transfer in TRANSFERS}
        self.ledger: deque[dict[str, Any]] = deque(maxlen=LEDGER_LINES)
        self.received = 0

    def note(self, method: str, path: str, query: str, body: bytes) -> None:
        self.received += 1
        self.ledger.append(
            {
                "number": self.received,
                "at": time.time(),
                "method": method,
                "path": path,
                "query": query,
                "body_sha256": hashlib.sha256(body).hexdigest(),
                "body": body[:4096].decode("utf-8", "replace"),
            }
        )

    def new_transfer(self, order: NewTransfer) -> dict[str, Any]:
        number = f"t-{1001 + len(self.transfers)}"
        self.transfers[number] = transfer = {
            "id": number, "to": order.to, "amount": order.amount, "currency": order.currency,
            "reference": order.reference, "status": "booked", "refunded": 0,
            "receipt_to": self.customers.get(order.to, {}).get("email", ""),
        }  # fmt: skip
        return transfer

    def transfer(self, transfer_id: str) -> dict[str, Any]:
        if transfer_id not in self.transfers:
            raise NotFoundException("no such transfer")
        return self.transfers[transfer_id]

    def customer(self, customer_id: str) -> dict[str, Any]:
        if customer_id not in self.customers:
            raise NotFoundException("no such customer")
        return self.customers[customer_id]


class Transfers(Controller):
    path = "/transfers"

    @post(sync_to_thread=False)
    def create_transfer(self, data: JSONBody[NewTransfer], books: NamedDependency[Books]) -> dict[str, Any]:
        return books.new_transfer(data)

    @get(sync_to_thread=False)
    def list_transfers(
        self,
        books: NamedDependency[Books],
        status: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20,
    ) -> dict[str, Any]:
        found = [transfer for transfer in books.transfers.values() if status in (None, transfer["status"])]
        return {"transfers": found[:limit], "total": len(found)}

    @get("/{transfer_id:str}", sync_to_thread=False)
    def get_transfer(self, transfer_id: FromPath[str], books: NamedDependency[Books]) -> dict[str, Any]:
        return books.transfer(transfer_id)

    @post("/{transfer_id:str}/refund", sync_to_thread=False)
    def refund(
        self, transfer_id: FromPath[str], data: JSONBody[NewRefund], books: NamedDependency[Books]
    ) -> dict[str, Any]:
        transfer = books.transfer(transfer_id)
        if transfer["refunded"] + data.amount > transfer["amount"]:
            raise ClientException("more than was paid", status_code=409)
        transfer["refunded"] += data.amount
        return transfer


class Customers(Controller):
    path = "/customers"

    @get("/{customer_id:str}", sync_to_thread=False)
    def get_customer(self, customer_id: FromPath[str], books: NamedDependency[Books]) -> dict[str, Any]:
        return books.customer(customer_id)

    @delete("/{customer_id:str}", sync_to_thread=False)
    def delete_customer(self, customer_id: FromPath[str], books: NamedDependency[Books]) -> None:
        del books.customers[books.customer(customer_id)["id"]]


class Mirrors(Controller):
    """What the service saw of its caller."""

    @get("/whoami", sync_to_thread=False)
    def whoami(self, request: Request[Any, Any, State]) -> dict[str, str]:
        """Names the credential that was accepted by its fingerprint, without showing it."""
        scheme, _, key = request.headers["authorization"].partition(" ")
        return {"credential": "accepted", "scheme": scheme, "fingerprint": fingerprint(key)}

    @get("/echo", sync_to_thread=False)
    def echo(self, request: Request[Any, Any, State]) -> dict[str, Any]:
        """Shows all headers as received, the credential too: the leak that a gateway has to stop."""
        return {"headers": dict(request.headers), "credential": request.headers["authorization"].partition(" ")[2]}

    @get("/ledger", sync_to_thread=False)
    def ledger(self, books: NamedDependency[Books], after: FromQuery[int] = 0) -> dict[str, Any]:
        """What reached the service, oldest first. Not in the OpenAPI description, so not reachable by funcgate."""
        return {"received": books.received, "lines": [line for line in books.ledger if line["number"] > after]}


def make_payments(api_key: str) -> Litestar:
    """The service as an ASGI application that accepts this one bearer key."""
    books = Books()
    expected = f"Bearer {api_key}".encode()

    def wants_key(connection: ASGIConnection[Any, Any, Any, State], _: BaseRouteHandler) -> None:
        shown = connection.headers.get("authorization", "").encode()
        if not hmac.compare_digest(shown, expected):
            raise NotAuthorizedException("an API key is needed")

    async def keep_ledger(request: Request[Any, Any, State]) -> None:
        if request.url.path != "/ledger":
            books.note(request.method, request.url.path, request.url.query, await request.body())

    return Litestar(
        route_handlers=[Transfers, Customers, Mirrors],
        guards=[wants_key],
        before_request=keep_ledger,
        dependencies={"books": Provide(lambda: books, sync_to_thread=False)},
        openapi_config=None,
    )


def fingerprint(key: str) -> str:
    """The first 16 hex digits of the key's SHA-256: names the key without being it."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def _from_environment(_: str) -> Litestar:
    key = os.environ.get(KEY_VARIABLE, "")
    if not key:
        sys.exit(f"{KEY_VARIABLE} is not set: give the API key that callers must show")
    return make_payments(key)


if __name__ == "__main__":
    serve_main("The sample payments service", 8092, _from_environment)
