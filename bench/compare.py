"""The comparison: every peer in the same rounds on the same upstream, proved to work before it is timed."""

import contextlib
from collections.abc import Iterator

import msgspec

from . import envoy, plain
from .bed import Bed, tell
from .gateway import ALWAYS, INTERVAL, Shape, gateway
from .peers import Peer, Shot, preflight
from .report import absolute, facts, machine, ratios, versions
from .rounds import alone, measure, summarize
from .workload import CLEAN_PATH

REFERENCES = {"envoy": "with its token cache", "envoy-default": "as shipped"}
REFERENCE, BASELINE, WITHOUT_KEEPER = "envoy", "direct", " (no keeper)"
TARGETS = {"funcgate interval": 1.6, "funcgate always": 2.0}
_ALL = "token, arguments, CEL, schema, masking, credential, journal"


def run(bed: Bed) -> None:
    """Start the peers, prove them, time them, print the two tables."""
    about = machine(bed.folder) | versions()
    if about["disk"] in ("tmpfs", "ramfs"):
        tell("the journals are in memory: what `always` costs here says nothing of a disk; choose one with --data DIR")
    with _peers(bed) as peers:
        entries = [(peer, preflight(peer, bed.work, bed.upstream_port)) for peer in peers]
        for peer, shot in entries:
            tell(f"{peer.name}: {peer.does}: holds{f', {shot.masked} values masked' if peer.guards else ''}")
        samples = measure(bed.loader, entries, bed.options.effort, tell)
    guards = [peer.name for peer in peers if peer.guards]
    apart = [*samples, *alone(samples, guards, WITHOUT_KEEPER)]  # the keeper does its work beside the call
    cells = summarize(samples, REFERENCE, BASELINE)
    names, counts = [peer.name for peer in peers], bed.options.effort.connections
    about |= _peer_versions(names)
    bed.results["machine"] = about
    bed.results["compare"] = {
        "samples": msgspec.to_builtins(samples),
        "medians": [{"peer": name, "connections": count} | cell._asdict() for (name, count), cell in cells.items()],
    }
    print(facts(about))
    print(_sizes(bed, entries), end="\n\n")
    print(absolute(cells, [(peer.name, peer.does) for peer in peers], counts), end="\n\n")
    rows = [*(name for name in names if name != BASELINE), *(name + WITHOUT_KEEPER for name in guards)]
    for reference, how in REFERENCES.items():
        if reference in names:
            targets = _targets(guards) if reference == REFERENCE else {}
            print(
                f"CPU a call, as a multiple of Envoy's, {how} (median of the ratios of each round, and their quartiles)"
            )
            print(ratios(summarize(apart, reference, BASELINE), rows, counts, targets), end="\n\n")


def _targets(names: list[str]) -> dict[str, float]:
    return {name + suffix: TARGETS[name] for name in names if name in TARGETS for suffix in ("", WITHOUT_KEEPER)}


@contextlib.contextmanager
def _peers(bed: Bed) -> Iterator[list[Peer]]:
    only = bed.options.only

    def wanted(*names: str) -> bool:
        return not only or any(name in only for name in names)

    with contextlib.ExitStack() as stack:
        peers = [plain.direct(bed.upstream_port, bed.upstream_pid)]
        if wanted("nginx") and plain.NGINX:
            peers.append(stack.enter_context(plain.nginx(bed.upstream_port, bed.folder)))
        if wanted("envoy"):
            for cached in (True, False):
                peer = stack.enter_context(envoy.envoy(bed.work, bed.upstream_port, bed.folder, cached=cached))
                peers.append(peer)
        if wanted("aiohttp"):
            peers.append(stack.enter_context(plain.aiohttp_proxy(bed.work, bed.upstream_port, bed.folder)))
        if wanted("funcgate"):
            start = stack.enter_context
            always = start(gateway(bed.work, bed.upstream_port, bed.folder / "always", ALWAYS))
            interval = start(gateway(bed.work, bed.upstream_port, bed.folder / "interval", INTERVAL))
            peers.append(always.peer("funcgate always", _ALL))
            peers.append(interval.peer("funcgate interval", _ALL + " (synced every 5 ms)"))
            peers.append(interval.peer("funcgate clean", "the same, an answer with nothing to mask", CLEAN_PATH))
            for workers in bed.options.workers:
                for mode, journal in (("always", ALWAYS), ("interval", INTERVAL)):
                    folder = bed.folder / f"{mode}-{workers}"
                    several = start(gateway(bed.work, bed.upstream_port, folder, journal, Shape(workers=workers)))
                    does = f"{_ALL}; {workers + 1} processes beside the keeper"
                    peers.append(several.peer(f"funcgate {mode}, {workers} workers", does))
        yield peers


def _peer_versions(names: list[str]) -> dict[str, str]:
    found = {}
    if "envoy" in names:
        found["envoy"] = envoy.version()
    if "nginx" in names:
        found["nginx"] = plain.nginx_version()
    return found


def _sizes(bed: Bed, entries: list[tuple[Peer, Shot]]) -> str:
    shot = entries[0][1]
    effort = bed.options.effort
    return (
        f"token {len(bed.work.good)} bytes, request {len(shot.request)}, answer {shot.answer_bytes}; "
        f"{effort.rounds} rounds of {effort.run_s:g} s for each peer and number of connections, closed loop"
    )
