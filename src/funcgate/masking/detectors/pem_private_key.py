"""Private keys in PEM (RFC 7468), also cut ones. Certificates and public keys are refused: they are public."""

from funcgate.masking.detector import Detector

_BEGIN = rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
_END = rb"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"

DETECTOR = Detector(
    name="pem_private_key",
    gate=_BEGIN,
    pattern=_BEGIN + rb"(?:[A-Za-z0-9+/=\s:,.()\-]*?" + _END + rb"|(?:[A-Za-z0-9+/=\s]*[A-Za-z0-9+/=])?)",
)
