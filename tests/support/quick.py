"""What `make test` does in less time than `make test-full`. It says ``FUNCGATE_TEST_QUICK=1``; without it all is done."""

import os

QUICK = os.environ.get("FUNCGATE_TEST_QUICK") == "1"
_SHARE = 4


def examples(all_of_them: int) -> int:
    """How many examples Hypothesis tries."""
    return all_of_them // _SHARE if QUICK else all_of_them
