"""How trials are carried out: Ray Tune, the processes around it, and one sitting of a job."""

import os

# Read when Ray is imported: of a process that died, the trial's failure tells, not Ray as well.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "worker died or was killed")
