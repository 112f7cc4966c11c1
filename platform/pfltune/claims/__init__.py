"""One YAML per claim of a paper: what is ahead of what, and how that is replayed."""
