"""One federated trial, as a plain function call; this package knows neither Ray nor MLflow."""
