"""The command line: one file per verb. Exit status 0 done, 1 refused or failed, 2 unusable arguments or configuration."""

import gc
import os
import sys
import traceback


def main() -> None:
    """Run the command that the process was started with."""
    from .commands import application

    gc.set_threshold(
        100_000, 50, 100
    )  # imports and configurations make many objects that stay; looking at them is a fifth of it
    try:
        application()
    except Exception as error:
        if os.environ.get("FUNCGATE_TRACEBACK"):
            raise
        # Attack: make it stumble, and read a secret in the text of the exception.
        frames = traceback.extract_tb(error.__traceback__)[-6:]
        passed = "\n".join(f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
        hint = "FUNCGATE_TRACEBACK=1 shows all of it, values included"
        sys.exit(f"funcgate: this is a bug: {type(error).__name__} at\n{passed}\n({hint})")
