"""One YAML per scenario: the ground that methods are compared on."""
