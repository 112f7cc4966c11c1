"""The order of all methods: one hypothesis for each pair, that neither is better."""

from collections.abc import Mapping, Sequence
from itertools import combinations

from pfltune.racing.closed import needed, rejected
from pfltune.racing.contest import MOST_SAID
from pfltune.racing.question import Question
from pfltune.racing.wealth import Wealth
from pfltune.ties import settled

Pair = tuple[str, str]


class Sides:
    """The bets of one pair: half the money on each of the two."""

    def __init__(self) -> None:
        self.first, self.second = Wealth(), Wealth()

    def bet(self, difference: float) -> None:
        """One more difference is known, first minus second."""
        self.first, self.second = self.first.after(difference), self.second.after(-difference)

    @property
    def value(self) -> float:
        """The e-value of the pair."""
        return (self.first.value + self.second.value) / 2

    @property
    def ahead(self) -> Wealth:
        """The side that has won more."""
        return max(self.first, self.second, key=lambda side: side.value)

    def at_best(self, seeds: int) -> float:
        """What so many further seeds cannot bring the e-value above."""
        return self.first.higher(self.second).at_best(seeds) / 2 if seeds else self.value


class OrderOf:
    """Decides pairs until none is open.

    Args:
        methods: in the order of the table.
    """

    def __init__(self, methods: Sequence[str]) -> None:
        self._methods = list(methods)
        self._questions: dict[Pair, Question] = {
            pair: Question(pair) for pair in combinations(methods, 2)
        }
        self._sides = {pair: Sides() for pair in self._questions}

    @property
    def questions(self) -> list[Question]:
        """One for each pair."""
        return list(self._questions.values())

    @property
    def is_decided(self) -> bool:
        """Whether every pair is that could be asked."""
        asked = [question for question in self.questions if question.state != "withdrawn"]
        return bool(asked) and all(question.state == "decided" for question in asked)

    @property
    def leader(self) -> None:
        """An order has none."""

    def runners(self) -> list[str]:
        """The methods of open pairs."""
        wanted = {method for pair in self._open() for method in pair}
        return [method for method in self._methods if method in wanted]

    def weigh(self, figures: Mapping[str, float]) -> None:
        """Bet on both sides of each open pair."""
        for pair in self._open():
            one, other = pair
            question, sides = self._questions[pair], self._sides[pair]
            if one in figures and other in figures:
                difference = 100 * settled(figures[one] - figures[other])
                sides.bet(difference)
                question.differences.append(difference)
            question.course.append(sides.value)

    def withdraw(self, method: str) -> None:
        """Its pairs are asked no more, those that are decided stay so."""
        for pair in self._open():
            if method in pair:
                self._questions[pair].settle("withdrawn")

    def settle(self, left: int) -> None:
        """Decide pairs; give up those that could not be decided if all went well for them.

        A pair that is given up lacks for ever what it lacks, which the others must make up for, so
        that some of them may have to be given up as well.
        """
        values = {pair: self._sides[pair].value for pair in self._asked()}
        for pair, wanted in needed(values).items():
            self._questions[pair].needed = wanted
        for pair in rejected(values, self._open()):
            sides, question = self._sides[pair], self._questions[pair]
            question.better = pair[0] if sides.ahead is sides.first else pair[1]
            question.settle("decided")
        while hopeless := self._hopeless(left):
            for pair in hopeless:
                self._questions[pair].settle("given up")

    def look_ahead(self) -> None:
        """Of all pairs that were not decided; half the money is on the side that is ahead."""
        for pair in self._asked():
            question, sides = self._questions[pair], self._sides[pair]
            sign = 1 if sides.ahead is sides.first else -1
            seen = [sign * difference for difference in question.differences]
            question.more = sides.ahead.seeds_to(2 * question.needed, seen, MOST_SAID)

    def _hopeless(self, left: int) -> list[Pair]:
        opened = self._open()
        best = {
            pair: self._sides[pair].at_best(left) if pair in opened else self._sides[pair].value
            for pair in self._asked()
        }
        wanted = needed(best)
        return [pair for pair in opened if settled(best[pair]) < settled(wanted[pair])]

    def _open(self) -> list[Pair]:
        return [pair for pair, question in self._questions.items() if question.is_open]

    def _asked(self) -> list[Pair]:
        """Those that are neither decided nor withdrawn: what they lack is made up for by others."""
        states = ("open", "given up")
        return [pair for pair, question in self._questions.items() if question.state in states]
