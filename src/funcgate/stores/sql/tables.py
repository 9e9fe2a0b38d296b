"""The tables. What is asked for is a column; the rest of a record is its JSON document, which alone is believed.

With encryption, documents, references and recipients are sealed, and keys, callers and subjects are keyed hashes (sealing.py).
"""

from sqlalchemy import Boolean, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table

REVISION = "0004"  # of the newest migration, which makes exactly these tables

metadata = MetaData()

# `live_key` is the key while the approval is live, else NULL: two live approvals of one call cannot be. `attention_at` is when
# it expires or wants to be escalated, NULL once it has ended.
approvals = Table(
    "approvals",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("key", String(71), nullable=False),
    Column("live_key", String(71), unique=True),
    Column("state", String(10), nullable=False),
    Column("caller", String, nullable=False),
    Column("attention_at", Float),
    Column("revision", Integer, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Index("approvals_by_key", "key", "id"),
    Index("approvals_by_state", "state", "id"),
    Index("approvals_by_caller", "caller", "state"),
    Index("approvals_by_attention", "attention_at"),
)

grants = Table(
    "grants",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("function", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("calls", Integer, nullable=False),
    Column("used", Integer, nullable=False),
    Column("revoked", Boolean, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Index("grants_by_function", "function", "subject"),
)

# How far each channel has told of each approval: `reference` is where its message is.
notices = Table(
    "notices",
    metadata,
    Column("channel", String(64), primary_key=True),
    Column("approval", String(26), primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("reference", String, nullable=False),
)

# Links that were sent, by the digests of their secrets.
tickets = Table(
    "tickets",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("approval", String(26), nullable=False),
    Column("recipient", String, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("used", Boolean, nullable=False),
    Index("tickets_by_end", "expires_at"),
)

# `until` is NULL for what stands until it is lifted, `lifted_at` until then.
revocations = Table(
    "revocations",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("until", Float),
    Column("lifted_at", Float),
    Column("document", LargeBinary, nullable=False),
)

# One row if the state is encrypted, else none: the key that seals it, wrapped under the configured key; `name` tells keys apart,
# `checks` is by which the configured key is known. Not `clean`: the file may still hold pages from before it was encrypted.
seal = Table(
    "seal",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("checks", String(64), nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("clean", Boolean, nullable=False),
)
