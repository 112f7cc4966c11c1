"""One YAML per method: what the search may vary, and the published values that it tries first."""
