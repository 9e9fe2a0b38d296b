"""AWS key and principal identifiers: a four-letter prefix and sixteen base32 characters."""

from funcgate.masking.detector import UPPER, Detector, Need

DETECTOR = Detector(
    name="aws_access_key",
    needs=(Need(upper=4, word=20, traces=(b"A" + 2 * UPPER + b"A",)),),
    gate=rb"\b(?:AKIA|ASIA|AROA|AIDA|AGPA|ANPA|ANVA|AIPA|ABIA|ACCA)[A-Z2-7]{16}\b",
)
