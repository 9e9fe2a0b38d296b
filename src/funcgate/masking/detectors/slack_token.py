"""Slack tokens and the addresses of incoming webhooks, which are secrets too."""

from funcgate.masking.detector import Detector, Need

DETECTOR = Detector(
    name="slack_token",
    needs=(Need(hyphens=1, word=15, traces=(b"xox", b"xapp-")), Need(points=2, word=36, traces=(b"hooks.slack.com/",))),
    gate=(
        rb"\bxox[abeoprs]-(?:[0-9a-z]-)?[A-Za-z0-9\-]{10,250}|\bxapp-[0-9]-[A-Za-z0-9\-]{10,250}"
        rb"|\bhooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/]{20,100}"
    ),
)
