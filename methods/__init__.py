"""The methods: one file each, found by scanning this folder. Private modules hold what they share.

To add one, put a file here (or anywhere, see ``pfltune methods --help``) with one public subclass
of :class:`pfltune.method.Method`, and its search space into ``search_spaces/``.
"""
