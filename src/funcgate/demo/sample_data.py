"""What the sample payments service knows at its start. Invented; the card numbers are the schemes' public test numbers."""

from typing import Any

CUSTOMERS: tuple[dict[str, Any], ...] = (
    {
        "id": "c-1001",
        "name": "Customer 1001",
        "email": "c1001@example.com",
        "ssn": "524-71-3906",
        "cards": [
            {"scheme": "visa", "number": "4111 1111 1111 1111", "expires": "2029-04"},
            {"scheme": "mastercard", "number": "5555555555554444", "expires": "2028-11"},
        ],
        "portal": {"login": "c1001", "password": "correct horse battery"},
        "note": "Bills go to books@c1001.example.net; the old card 3782 822463 10005 is blocked.",
        "tier": "gold",
    },
    {
        "id": "c-1002",
        "name": "Customer 1002",
        "email": "c1002@example.com",
        "ssn": "417-28-6053",
        "cards": [{"scheme": "discover", "number": "6011-1111-1111-1117", "expires": "2027-01"}],
        "portal": {"login": "c1002", "password": "tr0ub4dor&3"},
        "note": "",
        "tier": "standard",
    },
)

TRANSFERS: tuple[dict[str, Any], ...] = (
    {
        "id": "t-1001",
        "to": "c-1001",
        "amount": 120,
        "currency": "EUR",
        "reference": "invoice 8841",
        "status": "booked",
        "refunded": 0,
        "receipt_to": "c1001@example.com",
    },
    {
        "id": "t-1002",
        "to": "c-1002",
        "amount": 4300,
        "currency": "EUR",
        "reference": "invoice 8842",
        "status": "pending",
        "refunded": 0,
        "receipt_to": "c1002@example.com",
    },
)
