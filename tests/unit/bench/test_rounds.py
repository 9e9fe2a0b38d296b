"""The arithmetic of the tables: compared within a round, then the median."""

from bench.rounds import Sample, quartiles, summarize


def _sample(peer: str, number: int, cpu_us: float, p50_us: float = 0.0) -> Sample:
    return Sample(
        peer=peer, connections=16, round=number, calls=100, cpu_us=cpu_us, calls_per_s=1e6 / cpu_us,
        p50_us=p50_us, p99_us=2 * p50_us,
    )  # fmt: skip


def test_the_ratio_is_the_median_of_the_rounds_not_the_ratio_of_the_medians() -> None:
    reference, mine = [50.0, 100.0, 60.0], [100.0, 150.0, 180.0]
    samples = [_sample("envoy", n, cpu) for n, cpu in enumerate(reference)]
    samples += [_sample("mine", n, cpu) for n, cpu in enumerate(mine)]
    cell = summarize(samples, "envoy", "direct")["mine", 16]
    assert cell.cpu_ratio == (1.75, 2.0, 2.5)  # of 2.0, 1.5 and 3.0; the medians would give 2.5
    assert cell.cpu_us == 150.0
    assert cell.least_cpu_us == 100.0
    assert cell.added_p50_us is None


def test_latency_is_added_to_the_direct_one_of_the_same_round() -> None:
    samples = [_sample("direct", n, 10.0, p50) for n, p50 in enumerate([100.0, 300.0, 200.0])]
    samples += [_sample("mine", n, 50.0, p50) for n, p50 in enumerate([150.0, 310.0, 500.0])]
    cell = summarize(samples, "envoy", "direct")["mine", 16]
    assert cell.added_p50_us == 50.0
    assert cell.added_p99_us == 100.0
    assert cell.cpu_ratio is None


def test_one_round_has_quartiles_too() -> None:
    assert quartiles([1.5]) == (1.5, 1.5, 1.5)
