"""Google API keys: ``AIza`` and thirty-five characters; OAuth client secrets: ``GOCSPX-``."""

from funcgate.masking.detector import Detector, Need

DETECTOR = Detector(
    name="google_api_key",
    gate=rb"\bAIza[0-9A-Za-z_\-]{35}|\bGOCSPX-[0-9A-Za-z_\-]{28}",
    needs=(Need(upper=2, word=35, traces=(b"AIza", b"GOCSPX-")),),
)
