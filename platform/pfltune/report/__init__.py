"""From the MLflow store to tables, figures and a page."""
