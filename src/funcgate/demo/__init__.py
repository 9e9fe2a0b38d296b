"""The demo: a development OpenID provider, a sample payments service, a gateway between them, and a scripted scenario."""


def run(once: bool) -> int:
    """Play the demo in ``./.demo/``. Returns the exit status: 0 when every step came out as it should, else 1.

    Without `once` it then stays up until it gets SIGINT or SIGTERM.
    """
    from .play import play  # light commands must not pay for the demo's imports

    return play(once)
