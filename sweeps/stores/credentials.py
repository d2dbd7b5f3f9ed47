"""What stores are logged in to with, by environment or MLflow's own file, taken from the driver to its workers.

A cluster's machines are started before a sweep and know nothing of its user's login. The values travel as an object
from process to process: Ray would write a `runtime_env` to files of its session, where others can read them.
"""

import configparser
import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from dualpt.sweeps.stores.addresses import masked

CARRIED = re.compile(
    r"MLFLOW_TRACKING_(USERNAME|PASSWORD|TOKEN|AUTH|AWS_SIGV4|INSECURE_TLS|SERVER_CERT_PATH|CLIENT_CERT_PATH)"
    r"|MLFLOW_(S3|GCS|ARTIFACT|BOTO|HTTP_REQUEST)_\w+|MLFLOW_WORKSPACE"
    r"|AWS_(?!CONTAINER_|EXECUTION_ENV|LAMBDA_)\w+|AZURE_\w+|GOOGLE_(APPLICATION_CREDENTIALS|CLOUD_PROJECT)"
    r"|DATABRICKS_(HOST|TOKEN|CLIENT_ID|CLIENT_SECRET|CONFIG_PROFILE|CONFIG_FILE)"
    r"|PG(PASSWORD|PASSFILE|SSLMODE|SSLROOTCERT|SSLCERT|SSLKEY)"
    r"|REQUESTS_CA_BUNDLE|SSL_CERT_FILE|(HTTPS?|NO|ALL)_PROXY",
    re.IGNORECASE,
)
"""Names that are carried; what a cloud gives a single machine for itself is not."""
FILES = re.compile(r"\w+_(PATH|FILE|BUNDLE)|GOOGLE_APPLICATION_CREDENTIALS|PGPASSFILE|PGSSL(ROOTCERT|CERT|KEY)")
"""Names whose values are paths: of use only where the file is there too."""

MLFLOW_FILE = Path("~/.mlflow/credentials")
"""Where MLflow looks for a name and a password that the environment lacks."""

SECRET = re.compile(r"PASSWORD|PASSWD|TOKEN|SECRET|ACCESS_KEY|API_KEY|CONNECTION_STRING", re.IGNORECASE)
"""Variables whose values are never written down."""
SHORTEST_SECRET = 4
"""Characters from which a value is told from a word that happens to be the same."""


class Credentials(dict[str, str]):
    """Values by name, which no traceback or log shows."""

    def __repr__(self) -> str:
        return f"<{len(self)} values: {', '.join(sorted(self)) or 'none'}>"

    __str__ = __repr__


def credentials_here(environment: Mapping[str, str] = os.environ, file: Path = MLFLOW_FILE) -> Credentials:
    """What this process would log in with: what the environment says, and beside it MLflow's own file."""
    given = {name: value for name, value in environment.items() if CARRIED.fullmatch(name) and value}
    return Credentials({**_in_file(file.expanduser()), **given})


def _in_file(path: Path) -> dict[str, str]:
    """The name and the password in MLflow's file; nothing where MLflow cannot read it either."""
    parser = configparser.ConfigParser()
    with contextlib.suppress(configparser.Error, OSError, ValueError):
        parser.read(path)
        names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
        return {name: value for name in names if (value := parser.get("mlflow", name, fallback=""))}
    return {}


def adopt(credentials: Mapping[str, str]) -> None:
    """Use the driver's values in this process; they have just opened its stores.

    A path to a file that is not on this machine leaves what the machine itself has.
    """
    for name, value in credentials.items():
        if not FILES.fullmatch(name) or Path(value).exists():
            os.environ[name] = value


def without_secrets(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """A text with the passwords of its addresses, and the values that this process would log in with, as `***`."""
    secrets = [value for name, value in environment.items() if SECRET.search(name) and len(value) >= SHORTEST_SECRET]
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return masked(text)
