"""The how-to of kept models, from the command line, as a user goes through it."""

import json
import subprocess

import inline
import numpy as np
import pytest
from PIL import Image
from trained import SMALL

import pfltune
from pfltune.models.kept import kept_models
from pfltune.scenario import load_scenario
from pfltune.tracking.journal import JOURNAL

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("png_alone")]

METHODS = ("fedavg", "fedperfix[prefix=tokens]")
COMPARE = [
    *("compare", "--methods", ",".join(METHODS), "--name", "mine", "--keep-models", "best"),
    *("--trials", "1", "--generation", "1", "--seeds", "2", "--checkpoint-seconds", "0"),
    *("--register", "digits", "--precision", "float32"),
    *(word for override in SMALL for word in ("-o", override)),
]
SEARCHED = 2 * (1 + 4 + 1)
"""Lines of the journal until the first confirmation trial: starts, rounds and ends."""


def test_a_comparison_that_was_killed_keeps_models_that_leave(
    tmp_path, monkeypatch, called, python_with_wheel
):
    inline.killed(tmp_path, "mine", SEARCHED + 3, COMPARE)
    journal = (tmp_path / "results" / "mine" / JOURNAL).read_text()
    assert '"RoundDone", "trial": "fedavg-confirm' in journal
    done = inline.command(tmp_path, *COMPARE)
    assert done.returncode == 0, done.stderr
    results = tmp_path / "results"
    found = [model.manifest for model in kept_models(results / "mine")]
    assert sorted(manifest.short_name for manifest in found) == sorted(METHODS)
    assert not (results / "mine" / "checkpoints").exists()

    monkeypatch.chdir(tmp_path)
    for method in METHODS:
        code, out, err = called("evaluate", "mine", "--method", method, "--json")
        assert code == 0, err
        assert all(row["test"] == row["recorded"] for row in json.loads(out)["clients"])
        assert called("export", "mine", "--method", method, "--to", "one.safetensors")[0] == 0
        x = load_scenario("digits").dataset().images[:5].numpy()
        Image.fromarray(x[0, 0]).save("image.png")
        code, out, err = called("predict", "one.safetensors", "image.png")
        named = pfltune.load_model("one.safetensors").predict(x[:1]).names
        assert out.startswith(f"image.png: {named[0]} (")

    code = (
        "import mlflow, numpy, sys\n"
        "mlflow.set_tracking_uri('sqlite:///results/mlflow.db')\n"
        "model = mlflow.pyfunc.load_model('models:/digits@champion')\n"
        "print(*model.predict(numpy.load('x.npy'), params={'client': 1})['label'])\n"
    )
    np.save("x.npy", x)
    # With the wheel in an environment of its own: what the model asks for is all that it needs.
    done = subprocess.run(
        [python_with_wheel, "-c", code], capture_output=True, text=True, check=False
    )
    champion = max(found, key=lambda manifest: manifest.val)
    model = pfltune.load_model("mine", method=champion.short_name, client=1)
    wanted = " ".join(map(str, model.predict(x).labels))
    assert done.stdout.strip().splitlines()[-1:] == [wanted], done.stderr
