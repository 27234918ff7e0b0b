"""Where the work runs: the only importer of ray. It knows nothing of Prefect or DuckDB.

Ray decides how it authenticates when it is first imported, so that is settled here, before any
module of this package imports it. Left unset, the mode would depend on what else ran on the
machine.
"""

import os
import secrets
from pathlib import Path

os.environ.setdefault("RAY_AUTH_MODE", "token")
TOKEN_FILE = Path.home() / ".ray" / "auth_token"
"""Where Ray looks for a token that the environment does not give."""
TOKEN_IS_OURS = not (
    {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys() or TOKEN_FILE.exists()
)
"""Whether no token was given, so that one is made up here that only our own cluster takes."""
if TOKEN_IS_OURS:
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # in memory only; Ray's file would be 0644
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
WORKER_ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",  # spinning threads starve what they wait for
    "PYTHONSAFEPATH": "1",  # workers import nothing from where they are started
}
"""What the processes of workers need, on whichever node they are."""
for _name, _value in WORKER_ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)
