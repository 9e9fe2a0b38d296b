"""AWS key and principal identifiers: a four-letter prefix and sixteen base32 characters."""

from funcgate.masking.detector import Detector

DETECTOR = Detector(
    name="aws_access_key",
    gate=rb"\b(?:AKIA|ASIA|AROA|AIDA|AGPA|ANPA|ANVA|AIPA|ABIA|ACCA)[A-Z2-7]{16}\b",
)
