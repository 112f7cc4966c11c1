"""Ray Tune and Optuna: which trials run, where, and which of them go on."""

import os

# Read when Ray is imported: of a process that died, the trial's failure tells, not Ray as well.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "worker died or was killed")
