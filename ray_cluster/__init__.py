"""Where the work runs: the only importer of ray. It knows nothing of Prefect or DuckDB.

Ray decides how it authenticates when it is first imported, so that is settled here, before any
module of this package imports it. Left unset, the mode would depend on what else ran on the
machine.
"""

import os
import secrets
from pathlib import Path

os.environ.setdefault("RAY_AUTH_MODE", "token")
_token_given = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
if not _token_given and not (Path.home() / ".ray" / "auth_token").exists():
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # in memory only; Ray's file would be 0644
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads starve what they wait for
os.environ.setdefault("PYTHONSAFEPATH", "1")  # workers import nothing from where they are started
