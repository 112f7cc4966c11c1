"""What MLflow's pages show of a comparison at once: views that are kept with the experiment.

MLflow 3 opens an experiment in its GenAI pages with name, time and duration as the only columns.
A view is a tag of the experiment, in the form in which its pages keep what their user has chosen;
an address names the pages and the view.
"""

import json

KIND = {"mlflow.experimentKind": "custom_model_development"}
SHARED = "mlflow.sharedViewState."
METHODS, TRIALS = "methods", "trials"
SUMMARY = (
    "metrics.`test/accuracy`",
    "metrics.`test/accuracy_std_seeds`",
    "metrics.`test/accuracy_worst_decile`",
    "metrics.`comm/mb_per_round`",
    "metrics.`comm/total_mb`",
    "metrics.`train/steps`",
    "metrics.`time/total_s`",
)
EACH_TRIAL = (
    "metrics.`val/best_accuracy`",
    "metrics.`rounds`",
    "metrics.`comm/total_mb`",
    "metrics.`time/total_s`",
    "params.`lr`",
    "tags.`stage`",
    "tags.`outcome`",
)


def experiment_tags() -> dict[str, str]:
    """Tags of an experiment: its kind and its views."""
    views = {
        METHODS: _view("tags.stage = 'summary'", SUMMARY),
        TRIALS: _view("tags.stage != 'summary'", EACH_TRIAL),
    }
    return KIND | {SHARED + name: json.dumps(state) for name, state in views.items()}


def page(experiment: str, view: str = METHODS) -> str:
    """The part of an address, after the server's, at which the runs of an experiment are shown."""
    asked = f"workflowType=machine_learning&viewStateShareKey={view}"
    return f"/#/experiments/{experiment}/runs?{asked}"


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
