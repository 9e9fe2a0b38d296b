"""`python -m funcgate.cli.carry`: a worker, which carries calls. Started by `funcgate serve`, for nobody else."""

import sys


def carry(arguments: list[str]) -> None:
    """A worker. The arguments are the descriptors of two sockets: of its link, and of the connections that it is passed."""
    if len(arguments) != 2 or not all(number.isdecimal() for number in arguments):
        from .say import UNUSABLE, fail

        raise fail("a worker is started by 'funcgate serve', which tells it what to do", status=UNUSABLE)
    from funcgate.app.workers.worker import run

    run(*map(int, arguments))


if __name__ == "__main__":
    carry(sys.argv[1:])
