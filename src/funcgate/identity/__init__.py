"""Who calls: tokens verified against the keys of the configured issuers.

Accepts signed JWTs (RFC 7519) under the rules of RFC 8725. Refuses to guess: what cannot be verified is nobody.
"""

from .issuers import Issuers
from .spec import IssuerSpec

__all__ = ["IssuerSpec", "Issuers"]
