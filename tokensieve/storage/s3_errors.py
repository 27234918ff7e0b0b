"""What a failure of a store means: will it pass, and whose turn is it to act?"""

import json
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    FlexibleChecksumError,
    IncompleteReadError,
    MetadataRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    SSLError,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from s3fs.core import S3_RETRYABLE_ERRORS

from tokensieve.errors import (
    ResourceError,
    ServiceError,
    SettingsError,
    TokensieveError,
    shortened,
)

_UNREADABLE = (json.JSONDecodeError, UnicodeDecodeError)
"""What a helper for credentials said is none."""
STORE_ERRORS = (BotoCoreError, ClientError, OSError, *_UNREADABLE, *S3_RETRYABLE_ERRORS)
"""What a request may raise that is not our error."""

_AGAIN = "then run the same command again; finished shards are kept."
_ACTIONS = "s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload and s3:ListBucket"
_SLOW_DOWN = {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "429", "503"}
_PASSING = _SLOW_DOWN | {
    "BadDigest",  # the body was damaged on its way
    "ConditionalRequestConflict",
    "IncompleteBody",
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "ServiceUnavailable",
    "XAmzContentSHA256Mismatch",
}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_UNKNOWN = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidSecurity"}
_ELSEWHERE = {"PermanentRedirect", "AuthorizationHeaderMalformed", "301", "307"}
_NOT_FETCHED = (
    *(CredentialRetrievalError, MetadataRetrievalError, SSOError, TokenRetrievalError),
    *_UNREADABLE,
)
_BROKEN = (BotoConnectionError, FlexibleChecksumError, IncompleteReadError, *S3_RETRYABLE_ERRORS)
_SKEW_SECONDS = 600
"""Stores refuse requests whose time is 15 minutes off."""


def status(error: ClientError) -> int:
    """Return the HTTP status of the answer."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def code(error: Exception) -> str:
    """Return what the store calls the failure; of an answer without a body that is its status."""
    return str(error.response["Error"].get("Code")) if isinstance(error, ClientError) else ""


def is_expired(error: Exception) -> bool:
    """Return whether newer credentials may help."""
    return code(error) in _EXPIRED


def is_passing(error: Exception) -> bool:
    """Return whether the same request may be answered a little later."""
    if isinstance(error, ClientError):
        return code(error) in _PASSING or (status(error) >= 500 and status(error) != 501)
    if isinstance(error, (SSLError, ssl.SSLError)):
        return False
    return isinstance(error, (*_BROKEN, ConnectionError, TimeoutError))


def explained(error: Exception, place: str, action: str, seconds: float) -> TokensieveError:
    """Return what to tell the user of a request that failed, or failed for so many seconds."""
    if isinstance(error, ClientError):
        return _refused(error, place, action, seconds)
    if is_passing(error):
        return ServiceError(
            f"{place}: the store has not answered {action} for {seconds:.0f} s "
            f"({type(error).__name__}). Check s3.endpoint and the network, {_AGAIN}"
        )
    if isinstance(error, _NOT_FETCHED):
        return ServiceError(
            f"{place}: credentials could not be fetched ({type(error).__name__}). Log in, {_AGAIN}"
        )
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return SettingsError(
            f"{place}: no complete credentials were found. Set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY in the environment, or name a profile by s3.profile."
        )
    return SettingsError(
        f"{place}: the store cannot be asked: {shortened(str(error), 200)}. Check the settings "
        "below s3 and the AWS configuration files."
    )


def _refused(error: ClientError, place: str, action: str, seconds: float) -> TokensieveError:
    """Return what to tell of a request that was answered with an error."""
    name = code(error)
    if name in _SLOW_DOWN or status(error) == 503:
        return ServiceError(
            f"{place}: the store asked to slow down for {seconds:.0f} s ({action}). Wait until it "
            f"is less busy, {_AGAIN}"
        )
    if is_passing(error):
        return ServiceError(
            f"{place}: the store has failed for {seconds:.0f} s ({name}, {action}). Wait until it "
            f"is well, {_AGAIN}"
        )
    if name in _EXPIRED:
        return ServiceError(f"{place}: the credentials expired ({name}). Renew them, {_AGAIN}")
    if status(error) == 403:
        return _forbidden(error, place, action)
    if name == "NoSuchBucket":
        return SettingsError(f"{place}: there is no such bucket. Create it or correct the address.")
    if name in _ELSEWHERE:
        return SettingsError(f"{place}: the bucket is in another region. Set s3.region.")
    message = shortened(str(error.response["Error"].get("Message", "")), 200)
    return ServiceError(f"{place}: the store refused {action}: {name}: {message}")


def _forbidden(error: ClientError, place: str, action: str) -> TokensieveError:
    """Return what to tell of an answer 403; that of a HEAD request gives no reason."""
    name = code(error)
    ahead = _seconds_ahead(error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}))
    if name == "RequestTimeTooSkewed" or abs(ahead) > _SKEW_SECONDS:
        direction = "ahead of" if ahead > 0 else "behind"
        return ResourceError(
            f"{place}: the clock of this machine is {abs(ahead):.0f} s {direction} the store's. "
            f"Set it, {_AGAIN}"
        )
    if name in _UNKNOWN:
        return SettingsError(
            f"{place}: the store does not accept the credentials ({name}). Check those of the "
            "environment, or s3.profile."
        )
    return SettingsError(
        f"{place}: the credentials do not allow {action} ({name}). A workspace needs {_ACTIONS}; "
        "without the last, what is missing counts as forbidden."
    )


def _seconds_ahead(headers: Mapping[str, Any]) -> float:
    """Return by how much this machine's clock is ahead of the one that dated the answer."""
    if "date" not in headers:
        return 0.0
    return (datetime.now(UTC) - parsedate_to_datetime(headers["date"])).total_seconds()
