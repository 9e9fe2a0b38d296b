"""Growth: funcgate's CPU a call with 10, 100 and 1,000 functions and policies beside the one that is called."""

import contextlib

import msgspec

from .bed import Bed, tell
from .gateway import INTERVAL, Shape, gateway
from .peers import Peer, Shot, preflight
from .report import ratios
from .rounds import measure, summarize

SIZES = (10, 100, 1_000)
SHAPES = {
    "functions": "N more functions in the catalogue, each with its own policy",
    "groups": "N more policies on the called function, each of another group",
}
CONNECTIONS = (16,)


def run(bed: Bed) -> None:
    """One gateway for each shape and size, in the same rounds; CPU as a multiple of the smallest."""
    effort = bed.options.effort._replace(connections=CONNECTIONS)
    bed.results["growth"] = {}
    for shape, does in SHAPES.items():
        with contextlib.ExitStack() as stack:
            entries: list[tuple[Peer, Shot]] = []
            for size in SIZES:
                folder = bed.folder / f"{shape}-{size}"
                made = gateway(bed.work, bed.upstream_port, folder, INTERVAL, Shape(**{shape: size}))
                peer = stack.enter_context(made).peer(f"{size:5} {shape}", does)
                entries.append((peer, preflight(peer, bed.work, bed.upstream_port)))
            samples = measure(bed.loader, entries, effort, tell)
        names = [peer.name for peer, _ in entries]
        cells = summarize(samples, names[0], "")
        bed.results["growth"][shape] = msgspec.to_builtins(samples)
        print(f"CPU a call, as a multiple of the one with {SIZES[0]}: {does}")
        print(ratios(cells, names, CONNECTIONS, {}), end="\n\n")
