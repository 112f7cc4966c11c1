"""Which method is the best: one hypothesis for each, that no other is better."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from pfltune.racing.closed import THRESHOLD, needed, rejected
from pfltune.racing.contest import MOST_SAID
from pfltune.racing.question import Question
from pfltune.racing.wealth import Wealth
from pfltune.ties import settled


class BestOf:
    """Drops methods that another one beats, until one is left.

    Args:
        methods: in the order of the table.
    """

    def __init__(self, methods: Sequence[str]) -> None:
        self._questions = {method: Question((method,)) for method in methods}
        self._wealth = {method: Wealth() for method in methods}
        self._bets: dict[str, list[tuple[str, float]]] = {method: [] for method in methods}
        self._seen: dict[str, list[float]] = {method: [] for method in methods}
        self._gone: set[str] = set()
        self._is_hopeless = False

    @property
    def questions(self) -> list[Question]:
        """One for each method."""
        return list(self._questions.values())

    @property
    def left(self) -> list[str]:
        """The methods that may be the best."""
        return [m for m, q in self._questions.items() if q.state in ("open", "given up")]

    @property
    def is_decided(self) -> bool:
        """Whether a single one is left, and no other was beaten by bets on one that left the race.

        Who was, may be above the one that is left.
        """
        beaten = [q for q in self.questions if q.state == "decided"]
        stands = (settled(self._by_those_left(q.of[0]).value) >= settled(q.needed) for q in beaten)
        return len(self.left) == 1 and bool(beaten) and all(stands)

    def runners(self) -> list[str]:
        """Those that may be the best, while it can be found out."""
        return self.left if len(self.left) > 1 and not self._is_hopeless else []

    def weigh(self, figures: Mapping[str, float]) -> None:
        """Bet on the leader by the seeds before, against each method."""
        running = self.left
        opponents = {method: self._opponent(method, running) for method in running}
        for method, opponent in opponents.items():
            question = self._questions[method]
            if opponent is not None and {opponent, method} <= figures.keys():
                difference = 100 * settled(figures[opponent] - figures[method])
                self._wealth[method] = self._wealth[method].after(difference)
                question.differences.append(difference)
                self._bets[method].append((opponent, difference))
            question.course.append(self._wealth[method].value)
        for method, figure in figures.items():
            self._seen[method].append(figure)

    def withdraw(self, method: str) -> None:
        """It is not the best, and bets on it speak against nobody that is in the race."""
        self._questions[method].settle("withdrawn")
        self._gone.add(method)
        for other in self.left:
            question, kept = self._questions[other], self._by_those_left(other)
            if kept != self._wealth[other]:
                self._wealth[other] = kept
                question.course[-1] = kept.value
                question.differences = [d for one, d in self._bets[other] if one not in self._gone]

    def settle(self, left: int) -> None:
        """Drop who is beaten; see whether all but one can be dropped with what is left."""
        values = {method: self._wealth[method].value for method in self.left}
        for method, wanted in needed(values).items():
            self._questions[method].needed = wanted
        beaten = sorted(rejected(values, self.left), key=lambda method: -settled(values[method]))
        for method in beaten[: len(values) - 1]:
            self._questions[method].settle("decided")
        if len(self.left) > 1 and not any(self._can_remain(m, left) for m in self.left):
            self._give_up(left)

    def _give_up(self, left: int) -> None:
        """End it; those that could not be told apart any more are who made it hopeless."""
        self._is_hopeless = True
        first = self.leader or self.left[0]
        stuck = [m for m in self.left if m == first or not self._can_drop(m, first, left)]
        for method in stuck:
            self._questions[method].settle("given up")

    def look_ahead(self) -> None:
        """Of all that are left but the one that leads."""
        ahead = self.leader
        for method in self.left:
            question = self._questions[method]
            if method != ahead:
                wealth, seen = self._wealth[method], question.differences
                question.more = wealth.seeds_to(question.needed, seen, MOST_SAID)

    @property
    def leader(self) -> str | None:
        """Who has the highest mean so far among those that are left; None without a figure."""
        return max(
            (method for method in self.left if self._seen[method]), key=self._mean, default=None
        )

    def _can_remain(self, last: str, left: int) -> bool:
        """Whether all others could be dropped with so many seeds, if these went as they should."""
        return all(self._can_drop(m, last, left) for m in self.left if m != last)

    def _can_drop(self, method: str, last: str, left: int) -> bool:
        """Whether one could be dropped so that another remains.

        It needs twice the threshold less what the last one has then. Where they are the only two,
        they bet against each other; otherwise both could win.
        """
        own, other = self._wealth[method], self._wealth[last]
        if len(self.left) == 2:
            return bool(left) and own.higher(other).at_best(left) >= 2 * THRESHOLD
        best = own.at_best(left)
        return bool(left) and best >= THRESHOLD and best + other.at_best(left) >= 2 * THRESHOLD

    def _opponent(self, method: str, running: Sequence[str]) -> str | None:
        """Whom to bet on against a method, by the seeds before; None where nothing is known."""
        others = [other for other in running if other != method]
        if len(others) == 1:
            return others[0]
        return max((other for other in others if self._seen[other]), key=self._mean, default=None)

    def _by_those_left(self, method: str) -> Wealth:
        """What bets against a method came to, those on methods that have left the race aside.

        Whether a trial fails has nothing to do with figures, so that it might have been known
        before which bets these are: what is left of a fair bet is one.
        """
        wealth = Wealth()
        for opponent, difference in self._bets[method]:
            wealth = wealth if opponent in self._gone else wealth.after(difference)
        return wealth

    def _mean(self, method: str) -> float:
        return settled(fmean(self._seen[method]))
