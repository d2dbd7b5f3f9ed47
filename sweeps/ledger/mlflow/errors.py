"""MLflow's errors in one line each: outages, collisions of two writers, refusals, artifact stores that refuse."""

import contextlib
import re
from collections.abc import Iterator

from mlflow.exceptions import MlflowException, RestException
from requests.exceptions import ConnectionError, RequestException, Timeout
from sqlalchemy.exc import SQLAlchemyError

from dualpt.core.errors import UserError
from dualpt.sweeps.stores import Collision, StoreUnavailable, is_outage, masked
from dualpt.sweeps.stores.outages import Verdict, verdict_on

LONGEST = 400
"""Characters of a reason that are shown."""
STATUS = re.compile(r"error code (\d{3})")
NOT_LOGGED_IN = re.compile(r"unauthori[sz]ed|not authori[sz]ed|authentication|forbidden|access denied", re.IGNORECASE)
"""What proxies and login services say in JSON. MLflow drops the status of such an answer and calls it internal."""
LOGIN = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
NO_SERVER = "an MLflow server does not answer so: is its address right, with its path or prefix?"
ARTIFACT_REMEDIES = (
    ("boto3", "install boto3 on every machine (`pip install boto3`)"),
    ("botocore", "install boto3 on every machine (`pip install boto3`)"),
    ("google", "install google-cloud-storage on every machine"),
    ("azure", "install azure-storage-blob and azure-identity on every machine"),
    ("credentials", "give its credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or their like)"),
    ("expired", "renew its credentials"),
    ("accessdenied", "give its credentials the right to write there"),
    ("no space left", "make room there"),
    ("permission denied", "give this user the right to write there"),
)


class ArtifactsRefused(UserError):
    """The artifact store does not take or give a file; the tracking store may be in order."""


@contextlib.contextmanager
def one_line(uri: str) -> Iterator[None]:
    """Turn MLflow's errors, and those of a database or a connection beneath it, into one line of a kind to act on.

    Raises:
        StoreUnavailable: the store is away for a while.
        Collision: another process wrote the same row; the same call succeeds when it is made again.
        UserError: the store refuses.
    """
    try:
        yield
    except (MlflowException, SQLAlchemyError, RequestException) as error:
        text = str(error.message if isinstance(error, MlflowException) else error)
        reason = f"{_reason(text)}; {LOGIN}" if _is_login_refused(error) else _reason(text)
        raise _kind(error, text)(f"tracking store {masked(uri)}: {reason}") from error


@contextlib.contextmanager
def artifacts_in_one_line(place: str) -> Iterator[None]:
    """Turn whatever an artifact store's client raises into one line: each brings errors of its own.

    Raises:
        ArtifactsRefused: a file could not be written, or read.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        text = " ".join(str(error.message if isinstance(error, MlflowException) else error).split())
        said = f"{type(error).__name__} {text}".casefold()
        remedy = next((f"; {remedy}" for sign, remedy in ARTIFACT_REMEDIES if sign in said), "")
        reason = masked(text)[:LONGEST] or "no reason given"
        raise ArtifactsRefused(f"artifact store {masked(place)}: {type(error).__name__}: {reason}{remedy}") from error


def _kind(error: Exception, text: str) -> type[UserError]:
    """What to make of an error.

    MLflow calls some errors of a database a bad request, and a server passes only their text on.
    """
    if _is_login_refused(error):
        return UserError
    if isinstance(error, MlflowException):
        found = verdict_on(text)
        if found is Verdict.COLLISION or error.error_code == "RESOURCE_ALREADY_EXISTS":
            return Collision
        if found is not None:
            return StoreUnavailable if found is Verdict.AWAY else UserError
        status = int(error.get_http_status_code())  # type: ignore[no-untyped-call]
        return StoreUnavailable if status >= 500 or status == 429 else UserError
    if isinstance(error, RequestException):
        return StoreUnavailable if isinstance(error, ConnectionError | Timeout) else UserError
    if verdict_on(str(error)) is Verdict.COLLISION:
        return Collision
    return StoreUnavailable if is_outage(error) else UserError


def _is_login_refused(error: Exception) -> bool:
    """Whether something before MLflow refuses a request in JSON, which has no error code of MLflow's."""
    return (
        isinstance(error, RestException)
        and "error_code" not in error.json
        and NOT_LOGGED_IN.search(str(error.json)) is not None
    )


def _reason(text: str) -> str:
    """The first line, without a page of HTML, and the remedy that belongs to a status."""
    said, _, body = " ".join(text.strip().split("\n[SQL")[0].split()).partition("Response body:")
    said = said.partition("(Background on this error")[0].strip()
    page = "<html" in body.casefold() or "<!doctype" in body.casefold()
    if body and not page:
        said = f"{said} {body.strip()}"
    found = STATUS.search(said)
    status = found[1] if found else ""
    if status in ("401", "403"):
        said = f"{said.rstrip('. ')}; {LOGIN}"
    elif page or status == "404":
        said = f"{said.rstrip('. ')}; {NO_SERVER}"
    return masked(said)[:LONGEST]
