"""How often a test of two equal methods finds a difference, and how often it finds a true one.

    .venv/bin/python tests/benchmarks/error_rates.py            # the tables of docs/protocol.md
    .venv/bin/python tests/benchmarks/error_rates.py --number 5000

Simulated are paired differences of two methods that are equal in all, over a grid of clients,
seeds, searches and draws of clients, of the sizes of their effects and of their shapes. Every test
states 0.05 for one pair, and 0.05/28 for the pairs of eight methods. Of a grid the design with the
largest error is simulated anew and longer: of so many, some err more often by chance.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy import stats

from pfltune.report.crossed import margins, tail

ALPHA = 0.05
PAIRS = 28
TEST_SAMPLES = 20
RESAMPLES = 499
AGAIN = 5
BATCH = 500


@dataclass(frozen=True)
class Design:
    """Sizes of a comparison, and standard deviations of paired differences in points.

    Attributes:
        clients, seeds, searches, draws: how many there are.
        client, seed, search, draw: what each does to a difference.
        rest: what is left, of each client, seed and search.
        shape: of all effects but a draw's.
        gain: the true difference.
    """

    clients: int
    seeds: int
    searches: int = 1
    draws: int = 1
    client: float = 5.0
    seed: float = 0.0
    search: float = 0.0
    draw: float = 0.0
    rest: float = 8.5
    shape: str = "normal"
    gain: float = 0.0


def _outliers(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    return rng.normal(size=size) * (rng.uniform(size=size) < 0.05) * np.sqrt(20)


# Of one method, with mean 0 and standard deviation 1; those of a difference are symmetric.
SHAPES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "normal": lambda rng, size: rng.normal(size=size),
    "heavy": lambda rng, size: rng.standard_t(3, size) / np.sqrt(3),
    "skewed": lambda rng, size: rng.exponential(size=size) - 1,
    "uniform": lambda rng, size: rng.uniform(-1, 1, size) * np.sqrt(3),
    "outliers": _outliers,
    "discrete": lambda rng, size: rng.normal(size=size),
}


def tables(design: Design, number: int, rng: np.random.Generator) -> np.ndarray:
    """Paired differences in [−1, 1], (number, draws, searches, seeds, clients)."""
    one, other = (_accuracies(design, number, rng) for _ in range(2))
    return one - other + design.gain / 100


def _accuracies(design: Design, number: int, rng: np.random.Generator) -> np.ndarray:
    """Of one method, less what it has in common with the other."""
    d, k, s, c = design.draws, design.searches, design.seeds, design.clients
    effects = (
        (design.draw, (number, d, 1, 1, 1)),
        (design.search, (number, 1, k, 1, 1)),
        (design.seed, (number, 1, 1, s, 1)),
        (design.client, (number, d, 1, 1, c)),
        (design.rest, (number, d, k, s, c)),
    )
    draw = SHAPES[design.shape]
    found = sum(deviation / np.sqrt(2) / 100 * draw(rng, size) for deviation, size in effects)
    if design.shape == "discrete":
        shares = np.clip(0.7 + found, 0, 1)
        return rng.binomial(TEST_SAMPLES, shares) / TEST_SAMPLES
    return np.asarray(found)


def cubes_of(found: np.ndarray) -> np.ndarray:
    """(number, searches, seeds, units): clients of one draw, or means of several."""
    if found.shape[1] == 1:
        return found[:, 0]
    return np.moveaxis(found.mean(-1), 1, -1)


def crossed_p(found: np.ndarray) -> np.ndarray:
    """The product's; 1 where it is above 0.05 for certain, since that is not worked out."""
    cubes = cubes_of(found)
    parts = [part for part in margins(cubes) if part[1]]
    scales = np.sqrt(np.stack([variances for variances, _ in parts], axis=-1))
    means = np.abs(cubes.mean((1, 2, 3)))
    p = np.ones(len(means))
    open_ = means > 1.9 * np.sqrt((scales**2).sum(1))
    p[open_] = tail(means[open_], scales[open_], [freedom for _, freedom in parts])
    return p


def satterthwaite_p(found: np.ndarray) -> np.ndarray:
    """The same variance, with one number of degrees of freedom."""
    cubes = cubes_of(found)
    parts = [part for part in margins(cubes) if part[1]]
    return _t_p(cubes.mean((1, 2, 3)), parts)


def unbiased_p(found: np.ndarray) -> np.ndarray:
    """Components by the method of moments, cut off at 0, and Satterthwaite; one search, one draw.

    In a balanced table that is what a mixed model by REML estimates.
    """
    cubes = cubes_of(found)[:, 0]
    _, (seeds, few), (clients, many) = margins(cubes[:, None])
    rest = cubes - cubes.mean(1, keepdims=True) - cubes.mean(2, keepdims=True)
    rest = rest + cubes.mean((1, 2), keepdims=True)
    both = (rest**2).sum((1, 2)) / (few * many) / cubes[0].size
    parts = [(np.maximum(seeds - both, 0), few), (clients, many)]
    return _t_p(cubes.mean((1, 2)), parts)


def _t_p(means: np.ndarray, parts: list[tuple[np.ndarray, int]]) -> np.ndarray:
    variances = sum(variances for variances, _ in parts)
    freedom = variances**2 / sum(v**2 / f for v, f in parts)
    return 2 * stats.t.sf(np.abs(means) / np.sqrt(variances), freedom)


def bootstrap_p(found: np.ndarray) -> np.ndarray:
    """Owen's: seeds and clients drawn independently of each other; by quantiles, one search."""
    cubes = found[:, 0, 0]
    rng = np.random.default_rng(0)
    seeds, clients = (
        rng.multinomial(size, np.full(size, 1 / size), RESAMPLES) / size for size in cubes.shape[1:]
    )
    means = np.einsum("rs,nsc,rc->nr", seeds, cubes, clients, optimize=True)
    below = (means <= 0).mean(1)
    return np.minimum(2 * np.minimum(below, 1 - below), 1.0)


def wilcoxon_p(found: np.ndarray) -> np.ndarray:
    """Over clients, whose differences are averaged over seeds first; one search, one draw."""
    clients = np.round(found[:, 0, 0].mean(1), 12)
    return stats.wilcoxon(clients, axis=1, zero_method="pratt", correction=True).pvalue


TESTS = {
    "crossed (pfltune)": crossed_p,
    "the same variance, Satterthwaite": satterthwaite_p,
    "components, Satterthwaite": unbiased_p,
    "Owen's bootstrap, quantiles": bootstrap_p,
    "Wilcoxon over clients": wilcoxon_p,
}
OURS = next(iter(TESTS))


def found_rate(
    test: Callable[[np.ndarray], np.ndarray],
    design: Design,
    number: int,
    alphas: Iterable[float],
    seed: int = 0,
) -> list[float]:
    """How often p is below each alpha."""
    rng = np.random.default_rng(seed)
    p = np.concatenate([test(tables(design, BATCH, rng)) for _ in range(max(1, number // BATCH))])
    return [float((p < alpha).mean()) for alpha in alphas]


def of_seeds_and_clients() -> Iterator[Design]:
    """Every size of both, with every size of their effects."""
    for clients, seeds in product((4, 10, 30, 100), (2, 3, 5, 10)):
        for client, seed, rest in product((0, 5, 15), (0, 0.6, 2, 8), (0.1, 8.5)):
            yield Design(clients, seeds, client=client, seed=seed, rest=rest)


def of_searches() -> Iterator[Design]:
    """Several searches."""
    for clients, seeds, searches in product((10, 64), (2, 3, 10), (2, 3, 5)):
        for search, seed, rest in product((0, 1.5, 6), (0, 3), (0.1, 8.5)):
            yield Design(clients, seeds, searches, search=search, seed=seed, rest=rest)


def of_draws() -> Iterator[Design]:
    """Several draws of clients, one search for all of them or several."""
    for draws, clients, (searches, search) in product(
        (2, 3, 10), (10, 40), ((1, 0), (3, 0), (3, 2))
    ):
        for draw, seed in product((0, 1.5, 6), (0, 2)):
            yield Design(clients, 3, searches, draws, seed=seed, search=search, draw=draw)


def of_shapes() -> Iterator[Design]:
    """Effects that are not normal, and accuracies of few samples."""
    for shape in SHAPES:
        for clients, seeds, seed, rest in product((4, 10, 30), (2, 3, 10), (0, 2), (0.5, 8.5)):
            yield Design(clients, seeds, seed=seed, rest=rest, shape=shape)


def largest(
    test: Callable[[np.ndarray], np.ndarray], designs: Iterable[Design], number: int
) -> list[tuple[float, Design]]:
    """The largest errors over a grid at both rates, and where."""
    alphas = (ALPHA, ALPHA / PAIRS)
    rates = [(found_rate(test, design, number, alphas), design) for design in designs]
    found = []
    for place, alpha in enumerate(alphas):
        _, design = max(rates, key=lambda each: each[0][place])
        (again,) = found_rate(test, design, AGAIN * number, (alpha,), seed=1)
        found.append((again, design))
    return found


def _row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def told(design: Design) -> str:
    """What differs from the default design."""
    usual = Design(0, 0)
    differing = {k: v for k, v in vars(design).items() if v != getattr(usual, k)}
    return ", ".join(f"{key} {value:g}" for key, value in differing.items() if key != "shape")


def errors(number: int) -> None:
    """Of every test by number of seeds, then of ours by whatever else there is."""
    grid = list(of_seeds_and_clients())
    seeds = sorted({design.seeds for design in grid})
    _row("test", *(f"{each} seeds" for each in seeds))
    _row("---", *("---:" for _ in seeds))
    for name, test in TESTS.items():
        fewer = number if name == OURS else min(number, 2 * BATCH)
        cells = []
        for each in seeds:
            (one, _), (many, _) = largest(test, (d for d in grid if d.seeds == each), fewer)
            cells.append(f"{one:.3f} / {many:.4f}")
        _row(name, *cells)
    print()
    _row("grid", "comparisons", "largest error at 0.05", f"at 0.05/{PAIRS}", "where")
    _row("---", "---:", "---:", "---:", "---")
    groups = {
        "seeds and clients": grid,
        "and searches": list(of_searches()),
        "and draws": list(of_draws()),
        **{f"shape {s}": [d for d in of_shapes() if d.shape == s] for s in SHAPES},
    }
    for name, designs in groups.items():
        (one, where), (many, _) = largest(crossed_p, designs, number)
        _row(name, f"{number * len(designs):,}", f"{one:.3f}", f"{many:.4f}", told(where))


def power(number: int) -> None:
    """With the scatter that the default comparison has: seed 0.6, client 5.1, rest 8.5 points."""
    print()
    base = Design(10, 3, client=5.1, seed=0.6)
    gains = (3, 5, 10)
    heads = [f"{g} points, {n}" for n in ("1 pair", f"{PAIRS} pairs") for g in gains]
    _row("clients", "seeds", *heads)
    _row("---:", "---:", *("---:" for _ in range(2 * len(gains))))
    for clients, seeds in product((10, 30, 100), (2, 3, 5, 10)):
        found = [
            found_rate(
                crossed_p,
                replace(base, clients=clients, seeds=seeds, gain=gain),
                number,
                (ALPHA, ALPHA / PAIRS),
            )
            for gain in gains
        ]
        _row(clients, seeds, *(f"{rates[n]:.2f}" for n in range(2) for rates in found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=1_000, help="comparisons of each design")
    asked = parser.parse_args().number
    errors(asked)
    power(asked)
