"""A store that speaks S3, in the memory of this process, and its buckets."""

import io
import logging
import os
import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from tokensieve.settings import S3Settings

KEY_ID, SECRET = "canary-key-id", "canary-secret"
"""What may stand in no file, message or log."""

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": KEY_ID,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
NOT_SET = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION")
REGION = "us-east-1"


@dataclass(frozen=True)
class Bucket:
    """A bucket of its own for a test."""

    name: str
    endpoint: str

    @property
    def settings(self) -> S3Settings:
        return S3Settings(endpoint=self.endpoint, region=REGION)

    @property
    def client(self) -> Any:
        """A client that is not ours: what a foreign writer would use."""
        return boto3.client("s3", endpoint_url=self.endpoint, region_name=REGION)

    def address(self, prefix: str = "workspace") -> str:
        return f"s3://{self.name}/{prefix}"

    def keys(self, prefix: str = "") -> list[str]:
        """Every key of the bucket below the prefix."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=prefix
        )
        return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def get(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=data)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)

    def uploads(self) -> list[str]:
        """The keys of multipart uploads that were begun and neither completed nor aborted."""
        found = self.client.list_multipart_uploads(Bucket=self.name)
        return [each["Key"] for each in found.get("Uploads", [])]


@contextmanager
def running_server() -> Iterator[str]:
    """Yield the endpoint of a new server, with credentials for it in this process's environment."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, _Serial(), True, request_handler=MotoRequestHandler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    with pytest.MonkeyPatch.context() as environment:
        for name in NOT_SET:
            environment.delenv(name, raising=False)
        for name, value in ENVIRONMENT.items():
            environment.setenv(name, value)
        yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    server.server_close()
    thread.join()


def new_bucket(endpoint: str) -> Bucket:
    """Return a bucket that was made just now."""
    bucket = Bucket(f"test-{secrets.token_hex(4)}", endpoint)
    bucket.client.create_bucket(Bucket=bucket.name)
    return bucket


class _Serial:
    """The server's application, one request at a time: it looks whether a key is there and puts it
    in two steps, between which another request may come."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._application = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if size := int(environ.get("CONTENT_LENGTH") or 0):  # a slow client stops nobody else
            environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(size))
        with self._lock:
            return self._application(environ, start_response)
