"""Names under which MLflow registers models: refused before anything is trained."""

import pytest
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import _validate_model_name

from pfltune.errors import UserError
from pfltune.studies.begin import asked_of


@pytest.mark.parametrize("name", ["a/b", "a:b", "models:/a", ".", "..", "  "])
def test_what_mlflow_refuses_is_refused_at_once(name):
    with pytest.raises(MlflowException):
        _validate_model_name(name)
    with pytest.raises(UserError, match=r"--register .* / and : cannot be in it"):
        asked_of({"register_as": name, "keep_models": "best"})


@pytest.mark.parametrize("name", ["digits", "a b", "a..b", "é", "a\\b"])
def test_what_it_takes_is_taken(name):
    _validate_model_name(name)
    assert asked_of({"register_as": name, "keep_models": "best"}).register_as == name
