"""Finished trials by what their figures depend on, so that none is trained twice."""
