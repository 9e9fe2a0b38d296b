"""SCRAM-SHA-256 from the client's side (RFC 5802, RFC 7677). It keeps no password and proves the server, too."""

import base64
import hashlib
import hmac
import secrets

from .frames import Malformed
from .saslprep import saslprep

MECHANISM = "SCRAM-SHA-256"
_MAX_ITERATIONS = 1_000_000


class Scram:
    """One login. `first`, then `final` for the server's first message, then `check` for its last one."""

    def __init__(self, nonce: str = "") -> None:
        self._nonce = nonce or base64.b64encode(secrets.token_bytes(18)).decode()
        self._bare = f"n=,r={self._nonce}"  # the server takes the user from the startup message
        self._expected = b""

    def first(self) -> bytes:
        return f"n,,{self._bare}".encode()

    def final(self, challenge: bytes, password: str) -> bytes:
        """The proof. Raises `Malformed` for a challenge that is none."""
        fields = _fields(challenge)
        try:
            nonce, salt, count = fields["r"], base64.b64decode(fields["s"], validate=True), int(fields["i"])
        except (KeyError, ValueError):
            raise Malformed("a SCRAM challenge that cannot be read") from None
        # Attack: a server that replays an old nonce, or makes the gateway count to a billion.
        if not nonce.startswith(self._nonce) or nonce == self._nonce or not 1 <= count <= _MAX_ITERATIONS:
            raise Malformed("a SCRAM challenge that does not fit")
        without_proof = f"c=biws,r={nonce}"
        whole = f"{self._bare},{challenge.decode()},{without_proof}".encode()
        salted = hashlib.pbkdf2_hmac("sha256", saslprep(password).encode(), salt, count)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(client_key).digest(), whole, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._expected = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), whole, "sha256")
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def check(self, last: bytes) -> None:
        """Raises `Malformed` unless the server knows the password, too."""
        try:
            given = base64.b64decode(_fields(last)["v"], validate=True)
        except (KeyError, ValueError):
            raise Malformed("a SCRAM answer without the server's proof") from None
        # Attack: somebody in the server's place, who has let us in without knowing the password.
        if not self._expected or not hmac.compare_digest(given, self._expected):
            raise Malformed("the server's SCRAM proof is wrong")


def _fields(message: bytes) -> dict[str, str]:
    try:
        parts = message.decode("ascii").split(",")
    except UnicodeDecodeError:
        raise Malformed("a SCRAM message that is not ASCII") from None
    return {part[0]: part[2:] for part in parts if part[1:2] == "="}
