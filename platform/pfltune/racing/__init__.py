"""Races: confirmation seeds are added until who is better is decided, by anytime-valid tests.

**The question.** ``--decide best``, the default: which method is the best one. ``--decide order``:
of every two methods, which one is the better. The best is the default since that is what a paper
claims, and since it costs a fraction: whoever cannot be the best any more gets no further seed,
while an order waits for the closest of all pairs.

**The unit is the seed.** Clients of one seed share a model, so a seed is one datum of a pair of
methods: the difference d of their mean test accuracies, in percentage points. Both methods have the
same seed, so that d is paired.

**The evidence** is the wealth of somebody who bets against a hypothesis at fair odds. Against "A is
not better than B" he begins with 1 and multiplies by 1 + tanh(λ·d) with every seed. If d is
symmetric about a centre of 0 or below (at 0 exactly, where the two methods are exchangeable), the
factor is at most 1 in expectation: tanh is odd and rises. So the wealth is a nonnegative
supermartingale, and the probability that it *ever* reaches w is at most 1/w (Ville 1939), whenever
one looks, stops or goes on (Ramdas, Grünwald, Vovk and Shafer 2023, arXiv 2210.01948). This is what
makes it legitimate to stop on test accuracies. His money is split over λ = 1, 2 and 4 per point
(see :mod:`pfltune.racing.wealth` for what else was tried).

**All questions together.** Hypotheses are tested by closed testing with the mean of wealths (Vovk
and Wang 2021, arXiv 1912.06116): one is rejected where its wealth is at least 1/α plus what each
other open one lacks of 1/α. So a wrong claim anywhere, at any time, has a probability of at most
α = 5 %. The price of many questions is paid for those that stay open: fifteen pairs that agree in
six seeds are decided by these six, where Bonferroni's rule would ask for ten. See
:mod:`pfltune.racing.closed`.

**The best.** One hypothesis for each method B: no other is better. At each seed one bets on the
method that led by the seeds *before*, against B; whom to bet on is chosen before the seed is seen,
so that the argument holds. Among three and more, the first seed only says who leads. What is not
rejected is a sequential model confidence set (Arnold, Gavrilopoulos, Schulz and Ziegel 2024, arXiv
2404.18678): it holds the best one; when a single one is left, that is the best.

**The order.** One hypothesis for each pair: neither is better; half the money on each side.

**When it stops.** When the question is decided, or when it cannot be any more within the budget:
no wealth can more than double with a seed, so that what is too poor now is known. Of the order,
such a pair is given up and the others go on. Whoever continues later with more seeds loses nothing:
the wealth is valid at any time, also where the budget is raised after a look.

**How few seeds can decide.** A wealth doubles at most, so that two methods need six seeds, the best
of three or more needs seven, an order six; each of them only if all seeds agree by some two points.

**Failures.** A trial that failed is no datum: nothing is bet on its method with that seed. After
two of them, a method leaves the race; that is said, and nothing is claimed of it. Bets on it are
given back, and whoever it had beaten before is not claimed to be worse than those that stay: such a
race for the best is not decided. This takes failures to have nothing to do with how good a method
would have been.

Everything here is a pure function of the figures: :func:`pfltune.racing.race.race` goes through the
seeds in their order, so that neither time nor workers decide anything, and a report finds the same.
"""
