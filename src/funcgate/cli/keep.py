"""`funcgate keep`: the gateway's child that follows the journal. Started by `funcgate serve`, for nobody else."""

import sys


def keep() -> None:
    """The keeper; its settings come on standard input."""
    if sys.stdin is None or sys.stdin.isatty():
        from .say import UNUSABLE, fail

        raise fail("'keep' is started by 'funcgate serve', which tells it what to do", status=UNUSABLE)
    from funcgate.chores import plan
    from funcgate.recording.keeper.process import main

    main(plan)


if __name__ == "__main__":  # how the gateway starts it: without the other verbs, it is there in a third of the time
    keep()
