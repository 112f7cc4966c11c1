"""What each method of a comparison may spend."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from pfltune.errors import UserError
from pfltune.racing.race import Decide
from pfltune.settings import Settings, validated
from pfltune.stages import Stage

MOST_TRIALS = 100_000
TRIALS, GENERATION = 8, 4
"""Search trials per method, and how many are suggested together, where nothing else is said."""
MAX_SEEDS = 12
"""Confirmation seeds at most where something is to be decided and nothing else is said."""

SamplerName = Literal["tpe", "random", "qmc", "gp", "cmaes"]
SAMPLERS_OF_FRONTS: tuple[SamplerName, ...] = ("tpe", "random", "qmc")
"""Those that can suggest for several objectives."""
SAMPLER_NAMES: tuple[SamplerName, ...] = get_args(SamplerName)
"""What can suggest configurations, see :mod:`pfltune.search.samplers`."""
OBJECTIVES = (("accuracy",), ("accuracy", "comm"))
"""What a search can make best."""
ROUNDING = 1e-9
"""Of a number of MB, relative: no bytes are as few."""
WORDS = {"front": "configurations of a front"}
"""For a message, where a field's name is no word."""
Objective = Literal["accuracy", "comm"]
"""What a search makes best: validation accuracy, or MB up and down of all sampled clients."""


class Budget(Settings):
    """The tuning budget of each method, its finalists, and the seeds of its confirmation.

    Instead of ``generations`` it takes ``trials`` and ``generation``, as a command line does:
    ``trials=8, generation=4`` are generations of 4 and 4, ``generation=(4, 4, 8)`` are those.
    """

    generations: tuple[int, ...] = Field(
        min_length=1, description="search trials per method that are suggested together, in turn"
    )
    eta: int = Field(3, ge=2, description="one of eta trials goes on at each rung")
    halving: bool = Field(True, description="whether trials are stopped at rungs at all")
    sampler: SamplerName = Field("tpe", description="what suggests configurations")
    studies: int = Field(1, ge=1, description="independent searches of each method")
    seeds: int = Field(5, ge=0, description="fresh seeds of the confirmation")
    control: bool = Field(
        False, description="whether the first start values are tested with the same seeds, too"
    )
    finalists: int = Field(
        0,
        ge=0,
        description="best configurations that are trained again before one is chosen; "
        "with 0 the search alone chooses",
    )
    finalist_seeds: int = Field(3, ge=1, description="fresh validation seeds of each finalist")
    objective: tuple[Objective, ...] = Field(
        ("accuracy",), description="what the search makes best: accuracy, or accuracy,comm at once"
    )
    front: int = Field(
        3, ge=1, description="configurations of a front that are confirmed, with several objectives"
    )
    max_mb: float | None = Field(
        None, gt=0, description="MB that a trial may send, up and down of all sampled clients"
    )
    seed: int = Field(0, ge=0, description="seed of the whole comparison")
    decide: Decide | None = Field(
        None,
        description="what further seeds are added for: to decide which method is the best one, or "
        "the order of all; without it every method has the same seeds",
    )
    max_seeds: int | None = Field(
        None, ge=1, description="seeds that a method has at the most where something is decided"
    )

    @property
    def trials(self) -> int:
        """Search trials per method."""
        return sum(self.generations)

    @property
    def several(self) -> bool:
        """Whether there are several objectives, and so a front in place of one best."""
        return len(self.objective) > 1

    @property
    def hears_mb(self) -> bool:
        """Whether bytes decide what a search suggests, stops or chooses."""
        return self.several or self.max_mb is not None

    def planned(self, searched: bool = True, chosen: bool = False) -> dict[Stage, int]:
        """Trials of a method by stage, as many as there can be.

        There are fewer of finalists, where configurations fail or repeat, of confirmation seeds,
        where what is to be decided is decided before, or cannot be, and of a front that has fewer
        configurations.

        Args:
            searched: whether it has something to search. One configuration is not chosen among.
            chosen: whether its configuration was chosen before, so that it is tested at once.
        """
        each = self.planned_each(searched, chosen)
        controls: dict[Stage, int] = {"control": self.seeds} if self.control else {}
        return {stage: self.studies * number for stage, number in each.items()} | controls

    def planned_each(self, searched: bool = True, chosen: bool = False) -> dict[Stage, int]:
        """The same of each of its studies; what they share is not among it."""
        if chosen:
            return {"search": 0, "choose": 0, "confirm": self.seeds}
        trials = self.trials if searched else 1
        finalists = min(self.finalists, trials) if trials > 1 else 0
        return {
            "search": trials,
            "choose": finalists * self.finalist_seeds,
            "confirm": self.most_seeds * (min(self.front, trials) if self.several else 1),
        }

    @property
    def most_seeds(self) -> int:
        """Confirmation seeds of a method, as many as there can be."""
        return self.max_seeds or self.seeds

    def fits(self, round_number: int, mb: float, rounds: float) -> bool:
        """Whether a trial may go on, or is one of those that are chosen from.

        It may not once its MB, were all rounds like those so far, come to more than ``max_mb``:
        of a method whose payloads never change in size that is known after its first round.

        Args:
            round_number: how far it came; a trial without a round fits.
            mb: what it has sent up to there; NaN where nobody says, which fits.
            rounds: of a whole trial.
        """
        return not self.excess(round_number, mb, rounds) > ROUNDING

    def excess(self, round_number: int, mb: float, rounds: float) -> float:
        """By what share of ``max_mb`` a trial would send more; 0 or less for one that fits."""
        if self.max_mb is None or not round_number or mb != mb:
            return 0.0
        return mb * rounds / round_number / self.max_mb - 1.0

    def grown(
        self,
        seeds: int | None,
        trials: int | None,
        generation: int | tuple[int, ...] | None,
        finalists: int | None = None,
        finalist_seeds: int | None = None,
        front: int | None = None,
        studies: int | None = None,
        control: bool | None = None,
        decide: Decide | None = None,
        max_seeds: int | None = None,
    ) -> "Budget":
        """This budget with more seeds or finalists, or with whole generations after its own.

        Args:
            seeds: how many there shall be; None for as many as there are.
            trials: the same of search trials.
            generation: size of each new generation, if it is not the first one's; or the sizes of
                all generations, those that are there included.
            finalists, finalist_seeds, studies, max_seeds, front: how many there shall be.
            control: whether there shall be one.
            decide: what further seeds are added for, if nothing was to be decided so far.

        Raises:
            UserError: it would be less, or no whole generations; or nothing is to be decided.
        """
        sizes = self.generations
        if isinstance(generation, tuple):
            sizes = _sizes(trials, generation)
        elif trials is not None:
            sizes += self._appended(trials, generation or sizes[0])
        elif generation is not None:
            raise UserError(
                f"--generation {generation} says how large new generations are; say with --trials "
                f"how many trials there shall be, more than {self.trials}"
            )
        more = {
            "seeds": seeds,
            "finalists": finalists,
            "finalist_seeds": finalist_seeds,
            "front": front,
            "studies": studies,
            "control": control,
            "decide": decide,
            "max_seeds": max_seeds,
        }
        given = {name: value for name, value in more.items() if value is not None}
        new = validated(Budget, {**self.model_dump(), "generations": sizes, **given}, "budget")
        self.check_growth(new)
        return new

    def check_growth(self, now: "Budget") -> None:
        """See that nothing is less.

        Raises:
            UserError: something is; names it.
        """
        counted = ["seeds", "finalists", "studies"] + ["finalist_seeds"] * bool(self.finalists)
        counted += ["max_seeds"] * bool(self.decide) + ["front"] * self.several
        if self.decide and now.decide != self.decide:
            raise UserError(
                f"it is to be decided: {self.decide}; {now.decide} is another question: give the "
                "compare command with another --name, what is known is not trained again"
            )
        for name in counted:
            before, after = getattr(self, name), getattr(now, name)
            if after < before:
                words = WORDS.get(name) or name.replace("_", " ")
                raise UserError(f"there are {before} {words}; {after} would be fewer")
        if self.control and not now.control:
            raise UserError("there is a control of the start values; without it would be fewer")
        if now.generations[: len(self.generations)] != self.generations:
            old, new = (", ".join(map(str, each.generations)) for each in (self, now))
            raise UserError(f"there are generations of {old}; {new} would not begin with them")

    def _appended(self, trials: int, size: int) -> tuple[int, ...]:
        more = trials - self.trials
        if more < 0:
            raise UserError(f"there are {self.trials} search trials; {trials} would be fewer")
        if more % size:
            some = ", ".join(str(self.trials + each * size) for each in (1, 2, 3))
            raise UserError(
                f"--trials {trials}: after {self.trials} trials, whole generations of {size} give "
                f"{some} …; name the sizes of all with --generation for others"
            )
        return (size,) * (more // size)

    @model_validator(mode="after")
    def _enough_to_decide(self) -> "Budget":
        if self.decide is None and self.max_seeds is not None:
            raise ValueError(f"max_seeds={self.max_seeds} is for what is decided: say with decide")
        if self.decide is not None and (self.max_seeds or 0) < self.seeds:
            raise ValueError(f"max_seeds={self.max_seeds} must be at least seeds={self.seeds}")
        return self

    @model_validator(mode="before")
    @classmethod
    def _with_most_seeds(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or not values.get("decide") or values.get("max_seeds"):
            return values
        return {**values, "max_seeds": MAX_SEEDS}

    @model_validator(mode="before")
    @classmethod
    def _as_generations(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or "generations" in values:
            return values
        rest = {key: v for key, v in values.items() if key not in ("trials", "generation")}
        trials, generation = values.get("trials"), values.get("generation", GENERATION)
        return {**rest, "generations": generation_sizes(trials, generation)}

    @field_validator("objective", mode="before")
    @classmethod
    def _as_names(cls, value: Any) -> tuple[str, ...]:
        """``accuracy,comm`` as its parts."""
        parts = str(value).split(",") if not isinstance(value, tuple | list) else value
        names = tuple(str(part).strip() for part in parts)
        if names not in OBJECTIVES:
            raise ValueError("the objective is accuracy, or accuracy,comm for both at once")
        return names

    @model_validator(mode="after")
    def _one_way_to_choose(self) -> "Budget":
        """See that nothing is asked for that needs one chosen configuration, where there are more.

        Raises:
            ValueError: something does.
        """
        if not self.several:
            return self
        if self.finalists:
            raise ValueError(
                f"finalists={self.finalists} are for one objective, of which one configuration is "
                "chosen; with several objectives the front is confirmed, see --front"
            )
        asked = {"studies": self.studies > 1, "control": self.control, "decide": self.decide}
        for name in (name for name, is_asked in asked.items() if is_asked):
            raise ValueError(f"{name} is for one objective, of which one configuration is chosen")
        if self.sampler not in SAMPLERS_OF_FRONTS:
            told = ", ".join(SAMPLERS_OF_FRONTS)
            raise ValueError(f"sampler={self.sampler} is for one objective; choose from: {told}")
        return self

    @field_validator("generations")
    @classmethod
    def _not_empty(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        for size in sizes:
            if size < 1:
                raise ValueError(f"a generation has at least one trial, not {size}")
        return sizes


def why_none(budget: object) -> str:
    """Why a search has chosen nothing, in words."""
    limit = budget.max_mb if isinstance(budget, Budget) else None
    return "every trial failed" + ("" if limit is None else f", or would send over {limit:g} MB")


def _sizes(trials: int | None, generation: tuple[int, ...]) -> tuple[int, ...]:
    try:
        return generation_sizes(trials, generation)
    except ValueError as error:
        raise UserError(f"--generation: {error}") from None


def generation_sizes(trials: object, generation: object) -> tuple[int, ...]:
    """The sizes of the generations that are asked for.

    Args:
        trials: how many there are in all; None for as many as the sizes give, or the default.
        generation: one size for all, of which the last may be smaller, or every size.

    Raises:
        ValueError: they are no numbers above 0, or do not fit together.
    """
    if isinstance(generation, tuple | list):
        sizes = tuple(_counted("generation", size) for size in generation)
        if trials is not None and _counted("trials", trials) != sum(sizes):
            told = ", ".join(map(str, sizes))
            raise ValueError(f"trials={trials}, and generations of {told} give {sum(sizes)}")
        return sizes
    whole = _counted("trials", TRIALS if trials is None else trials)
    size = _counted("generation", generation)
    rest = (whole % size,) if whole % size else ()
    return (size,) * (whole // size) + rest


def _counted(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_TRIALS:
        raise ValueError(f"{name}={value} must be a whole number from 1 to {MOST_TRIALS:,}")
    return value
