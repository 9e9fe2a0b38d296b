"""How the configuration names functions and principals: ``payments.*``, ``group:agents``, ``user:alice``, ``*``."""

import re


def function_pattern(pattern: str) -> re.Pattern[str]:
    """A pattern over full function names: ``*`` stands for any run of characters, dots too. Everything else is literal."""
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")) + r"\Z", re.DOTALL)


def matching(pattern: str, names: list[str]) -> list[str]:
    """Those of `names` that the pattern covers, in their order."""
    if "*" not in pattern:
        return [pattern] if pattern in names else []
    compiled = function_pattern(pattern)
    return [name for name in names if compiled.match(name)]


def is_principal_selector(text: str) -> bool:
    """Whether `text` is ``*``, ``user:SUBJECT`` or ``group:NAME``."""
    return text == "*" or (text.startswith(("user:", "group:")) and not text.endswith(":"))
