"""Killing comparisons at any moment, and seeing that they end as they would have undisturbed."""
