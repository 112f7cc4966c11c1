"""What each method of a comparison may spend."""

from typing import Any

from pydantic import Field, model_validator

from pfltune.settings import Settings


class Budget(Settings):
    """The tuning budget of each method, and the seeds of its confirmation."""

    trials: int = Field(8, ge=1, description="search trials per method")
    generation: int = Field(4, ge=1, description="trials suggested together")
    eta: int = Field(3, ge=2, description="one of eta trials goes on at each rung")
    seeds: int = Field(3, ge=0, description="fresh seeds of the confirmation")
    seed: int = Field(0, ge=0, description="seed of the whole comparison")

    @model_validator(mode="before")
    @classmethod
    def _generation_within_trials(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        trials, size = (
            values.get(name, cls.model_fields[name].default) for name in ("trials", "generation")
        )
        if isinstance(trials, int) and isinstance(size, int) and 0 < trials < size:
            return {**values, "generation": trials}
        return values
