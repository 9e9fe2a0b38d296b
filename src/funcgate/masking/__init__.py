"""Hides sensitive data in what a target answers, and in what the journal records. Pure: bytes in, bytes out."""

from .plan import MaskingPlan, RuleSpec, compile_rules

__all__ = ["MaskingPlan", "RuleSpec", "compile_rules"]
