"""One YAML per scenario: what methods are compared on."""
