"""GitHub tokens: ``ghp_``, ``gho_``, ``ghu_``, ``ghs_``, ``ghr_`` and the fine-grained ``github_pat_``."""

from funcgate.masking.detector import Detector, Need

DETECTOR = Detector(
    name="github_token",
    needs=(Need(underscores=1, word=33, traces=(b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_")),),
    gate=rb"\bgh[pousr]_[A-Za-z0-9]{36,255}|\bgithub_pat_[A-Za-z0-9_]{22,255}",
)
