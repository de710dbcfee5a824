"""The low-rank fit against POT's, d = 1600, 200 source and 100 target rows, reg 0.1."""

from __future__ import annotations

import statistics

import ot
import torch

from sake_bench.timings.measure import interleaved, ratio
from sake_registry import transport

WIDTH, SOURCES, TARGETS, REG = 1600, 200, 100, 0.1


def main() -> None:
    torch.manual_seed(0)
    source = torch.randn(SOURCES, WIDTH, dtype=torch.float64)
    target = 0.7 * torch.randn(TARGETS, WIDTH, dtype=torch.float64) + 0.5
    source[:, [3, 50]] *= 80
    target[:, [3, 50]] *= 80
    xs, xt = source.numpy(), target.numpy()
    times = interleaved(
        7,
        lowrank=lambda: transport.fit(source, target, REG),
        linear_transport=lambda: ot.da.LinearTransport(reg=REG).fit(Xs=xs, Xt=xt),
        mapping=lambda: ot.gaussian.empirical_bures_wasserstein_mapping(source, target, reg=REG),
    )
    print(f"transport, d = {WIDTH}, {SOURCES} + {TARGETS} rows, reg {REG}, float64")
    for name, seconds in times.items():
        print(f"  {name}: {statistics.median(seconds):.3f} s")
    print(
        f"  faster than ot.da.LinearTransport: {ratio(times['linear_transport'], times['lowrank'])}"
    )
    print(f"  faster than POT's mapping alone: {ratio(times['mapping'], times['lowrank'])}")


if __name__ == "__main__":
    main()
