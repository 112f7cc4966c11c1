"""What MLflow's pages show of a comparison at once: views that are kept with the experiment.

MLflow 3 opens an experiment in its GenAI pages with name, time and duration as the only columns.
A view is a tag of the experiment, in the form in which its pages keep what their user has chosen;
an address names the pages and the view.
"""

import json

from pfltune import figures
from pfltune.figures import Figure

KIND = {"mlflow.experimentKind": "custom_model_development"}
SHARED = "mlflow.sharedViewState."
METHODS, TRIALS = "methods", "trials"
OF_METHODS = (
    figures.TEST,
    figures.TEST_STD_SEEDS,
    figures.TEST_WORST,
    figures.MB_PER_ROUND,
    figures.TOTAL,
    figures.STEPS,
    figures.SECONDS,
)
OF_TRIALS = (figures.BEST_VAL, figures.ROUNDS, figures.TOTAL, figures.SECONDS)
BESIDE = ("params.`lr`", "tags.`stage`", "tags.`outcome`")


def experiment_tags() -> dict[str, str]:
    """Tags of an experiment: its kind and its views."""
    views = {
        METHODS: _view("tags.stage = 'summary'", _columns(OF_METHODS)),
        TRIALS: _view(
            "tags.stage != 'summary' AND tags.stage != 'comparison'",
            (*_columns(OF_TRIALS), *BESIDE),
        ),
    }
    return KIND | {SHARED + name: json.dumps(state) for name, state in views.items()}


def page(experiment: str, view: str = METHODS) -> str:
    """The part of an address, after the server's, at which the runs of an experiment are shown."""
    asked = f"workflowType=machine_learning&viewStateShareKey={view}"
    return f"/#/experiments/{experiment}/runs?{asked}"


def _columns(shown: tuple[Figure, ...]) -> tuple[str, ...]:
    return tuple(f"metrics.`{figure.name}`" for figure in shown)


def _view(search: str, columns: tuple[str, ...]) -> dict[str, object]:
    """Sorted by the first column, the best first."""
    return {
        "searchFilter": search,
        "orderByKey": columns[0],
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": list(columns),
        "columnOrder": list(columns),
        "runsHiddenMode": "FIRST_20_RUNS",
    }
