"""Ray Tune and Optuna: which trials run, where, and which of them go on."""
