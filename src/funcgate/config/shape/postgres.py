"""What a PostgreSQL target has beside the others: budgets of answers, names, roles."""

from typing import Literal

from msgspec import Struct, field

from funcgate.catalog.sql import SqlFunctionsSpec
from funcgate.credentials import CredentialSpec

from .limits import TargetLimitsSpec, UpstreamTlsSpec
from .units import Size, Time


class PostgresLimitsSpec(TargetLimitsSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one statement may use. `max_rows` is of its answer."""

    max_rows: int = 1_000_000


class BudgetSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many rows and bytes of answers each of some principals may have in any time of that length."""

    principals: list[str]
    rows: int | None = None
    bytes: Size | None = None
    per: Time = "1h"


class OauthSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which user names are asked for their token by OAUTHBEARER; `issuer` is one of `issuers`, the only one if there is one."""

    users: list[str] = field(default_factory=lambda: ["oauth"])
    issuer: str | None = None
    scope: str = ""


class RoleSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The database's role that a caller's statements run with: by a claim that names one of `among`, else by the first group of
    the caller's in `groups`, else `otherwise`. Who has none does not get in."""

    claim: str | None = None
    among: list[str] = []
    groups: dict[str, str] = {}
    otherwise: str | None = None


class PostgresTargetSpec(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="protocol", tag="postgres"
):
    """A PostgreSQL database. With `tls`, and only then, the gateway talks TLS to it."""

    name: str
    url: str
    functions: SqlFunctionsSpec | None = None
    credential: CredentialSpec | None = None
    limits: PostgresLimitsSpec = PostgresLimitsSpec()
    budgets: list[BudgetSpec] = []
    tls: UpstreamTlsSpec | None = None
    preset: Literal["guarded", "none"] = "guarded"
    oauth: OauthSpec | None = None
    role: RoleSpec | None = None
