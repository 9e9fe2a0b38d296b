"""JSON Web Tokens, signed (three parts) and encrypted (five): RFC 7519, RFC 7516."""

from funcgate.masking.detector import Detector, Need

DETECTOR = Detector(
    name="jwt",
    needs=(Need(points=2, word=13, traces=(b"ey", b"ew")),),
    gate=rb"\be(?:yJ|yA|yI|wo|w0)[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*\.",
    pattern=rb"\be(?:yJ|yA|yI|wo|w0)[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]*){2,4}",
)
