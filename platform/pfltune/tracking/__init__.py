"""MLflow: the store of record of every comparison."""
