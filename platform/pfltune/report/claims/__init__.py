"""The report of a claim that was replayed: which orderings hold, and on which footing."""
