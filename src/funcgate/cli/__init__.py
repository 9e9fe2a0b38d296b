"""The command line: one file per verb. Exit status 0 done, 1 refused or failed, 2 unusable arguments or configuration."""


def main() -> None:
    """Run the command that the process was started with."""
    from .commands import application

    application()
