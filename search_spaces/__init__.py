"""One YAML per method: what the search may vary, and the values that it tries first."""
