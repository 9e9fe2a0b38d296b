"""What the gateway's own process and a worker ask each other: MessagePack, over a socket that nobody else holds.

No message is ever logged. A worker reads its own configuration; secrets of its targets that are in the environment are in
`Begin` and `Prepare`, and nowhere else.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from funcgate.core.budget import Budget
from funcgate.core.decision import Allow, RequireApproval
from funcgate.core.ports import Patience
from funcgate.core.revocation import Revocation

CALL_ID = "^[0-9A-Z]{26}$"  # core/ids.py
MAX_SMALL_BYTES = 1 << 20  # of a question that holds neither a call nor a decision
MAX_SECRET = 256  # bytes: the most that any version of PostgreSQL's protocol has

# -- the gateway asks, a worker answers


class Begin(Struct, frozen=True, kw_only=True, tag="begin"):
    """The first question: read the configuration, and be ready for callers. `version` is the one that the gateway read.
    `number` counts workers from 0, of `workers` in all. `environ`: see environment.py."""

    path: str
    version: str
    number: int
    workers: int
    environ: dict[str, str] = {}

    def __repr__(self) -> str:
        return "Begin(…)"


class Prepare(Struct, frozen=True, tag="prepare"):
    """Make this version ready beside the one that serves."""

    version: str
    environ: dict[str, str] = {}

    def __repr__(self) -> str:
        return "Prepare(…)"


class Swap(Struct, frozen=True, tag="swap"):
    """Serve what was prepared. Cannot fail."""


class Drop(Struct, frozen=True, tag="drop"):
    """Forget what was prepared."""


class Revoke(Struct, frozen=True, tag="revoke"):
    """All that stands revoked from now on."""

    standing: tuple[Revocation, ...]


class Ends(Struct, frozen=True, tag="ends"):
    """When the token of this fingerprint ends, if the worker remembers it. The answer is `Until`."""

    token: str


class Cancel(Struct, frozen=True, tag="cancel"):
    """A PostgreSQL cancel request that came at another worker, perhaps for a session of this one."""

    pid: int
    secret: bytes


class Drain(Struct, frozen=True, tag="drain"):
    """Accept nobody, let open calls end, within `limit_s` seconds; answered when all is over and recorded."""

    limit_s: float


class Hurry(Struct, frozen=True, tag="hurry"):
    """Cut what is still open."""


class Ready(Struct, frozen=True, tag="ready"):
    """Whether the gateway as a whole takes calls, for health checks that callers ask a worker."""

    ready: bool


class Done(Struct, frozen=True, tag="done"):
    """The answer. `problem` says what went wrong, for the operator, "" if nothing did; of a drain: that calls were cut."""

    problem: str = ""


# -- a worker asks, the gateway answers


class Caller(Struct, frozen=True):
    """A principal as far as the desk looks at one: no claims, no token. `token` is the fingerprint."""

    issuer: str
    subject: str
    groups: tuple[str, ...]
    token: str
    acts_for: str | None
    actor: str | None


class Open(Struct, frozen=True, kw_only=True, tag="open"):
    """`core.ports.Desk.open`: the call, as far as the desk looks at it. `hold` is the worker's own number for it. `args` is the
    whole of what was judged (args.py), `shown` the masked JSON that approvers see, `schema` the function's, as JSON.
    `patience` ends in `until_in_s` seconds, whatever its `until` says. The answer is `Held`."""

    hold: int
    id: Annotated[str, Meta(pattern=CALL_ID)]
    target: str
    function: str
    args: bytes
    caller: Caller
    session: str
    digest: str
    received_at: float
    client: str
    trace: str
    reason: str
    decision: RequireApproval
    shown: bytes
    schema: bytes
    patience: Patience
    until_in_s: float


class Wait(Struct, frozen=True, tag="wait"):
    """`core.ports.Desk.wait`. The answer is `Done`."""

    hold: int


class Use(Struct, frozen=True, kw_only=True, tag="use"):
    """`core.ports.Desk.use`, for the caller as it was verified after the wait; exactly one of the decisions is there. The answer
    is `Done`."""

    hold: int
    caller: Caller
    allow: Allow | None = None
    ask: RequireApproval | None = None


class Release(Struct, frozen=True, tag="release"):
    """The call at the desk is over, however it ended. The answer is `Done`, also where nothing was held."""

    hold: int


class Cancelled(Struct, frozen=True, tag="cancelled"):
    """A PostgreSQL cancel request for a session that this worker does not have."""

    pid: int
    # Attack: secrets by the megabyte, passed on until another worker's link holds more than it may, and that one is ended.
    secret: Annotated[bytes, Meta(max_length=MAX_SECRET)]


class Spend(Struct, frozen=True, kw_only=True, tag="spend"):
    """`core.budget.Spending.spend`, by a principal whom the budgets name. The answer is `Done`."""

    target: str
    budgets: tuple[Budget, ...]
    issuer: str
    subject: str
    acts_for: str | None
    actor: str | None
    selectors: frozenset[str]
    rows: int
    size: int


class Held(Struct, frozen=True, tag="held"):
    """The call is at the desk, for this approval."""

    approval: str


class Until(Struct, frozen=True, tag="until"):
    """When a token ends (Unix time, in seconds), None where it is not known."""

    at: float | None = None


class Forged(Exception):
    """A message that no worker of ours sends. Whoever did is not to be trusted with another one."""


class _Open(Struct, tag="open"):
    """What may be large, without a look into it."""


class _Use(Struct, tag="use"):
    """The same."""


ToWorker = Begin | Prepare | Swap | Drop | Revoke | Ends | Cancel | Drain | Hurry | Ready
ToGateway = Open | Wait | Use | Release | Cancelled | Spend
Answer = Done | Held | Until

encode = msgspec.msgpack.Encoder().encode
_TO_WORKER = msgspec.msgpack.Decoder(ToWorker)
_TO_GATEWAY = msgspec.msgpack.Decoder(ToGateway)
_LARGE = msgspec.msgpack.Decoder(_Open | _Use)
_ANSWER = msgspec.msgpack.Decoder(Answer)


def for_worker(payload: bytes) -> ToWorker:
    """Raises `msgspec.MsgspecError`."""
    message: ToWorker = _read(_TO_WORKER, payload)
    return message


def for_gateway(payload: bytes) -> ToGateway:
    """Raises `msgspec.MsgspecError`."""
    # Attack: a worker that was taken over says, in one question about a budget, what takes seconds and gigabytes to read: for so
    # long nobody's entries are written.
    if len(payload) > MAX_SMALL_BYTES:
        _read(_LARGE, payload)
    message: ToGateway = _read(_TO_GATEWAY, payload)
    return message


def answer(payload: bytes) -> Answer:
    """Raises `msgspec.MsgspecError`."""
    message: Answer = _read(_ANSWER, payload)
    return message


def _read(decoder: Any, payload: bytes) -> Any:
    try:
        return decoder.decode(payload)
    except (UnicodeDecodeError, RecursionError) as error:
        # Attack: a worker that was taken over answers what is read in no way that was thought of, so that nobody can be revoked.
        raise msgspec.DecodeError(type(error).__name__) from None
