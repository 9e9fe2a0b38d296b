"""Stripe secret and restricted keys and webhook secrets. Publishable keys (``pk_``) are public, and refused."""

from funcgate.masking.detector import Detector, Need

DETECTOR = Detector(
    name="stripe_key",
    needs=(Need(underscores=1, word=18, traces=(b"sk_", b"rk_", b"whsec_")),),
    gate=rb"\b[sr]k_(?:live|test)_[0-9A-Za-z]{10,250}|\bwhsec_[0-9A-Za-z+/]{24,100}",
)
