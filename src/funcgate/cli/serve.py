"""`funcgate serve`: the gateway, until it is told to stop."""

from .say import DEFAULT_CONFIG, ConfigFile, fail, usable


def serve(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Serve calls. SIGHUP or a changed file reloads the configuration, SIGTERM ends after the open calls."""
    from funcgate.app import StartFailed, run

    with usable():
        try:
            run(config)
        except StartFailed as failed:
            raise fail(str(failed)) from None
