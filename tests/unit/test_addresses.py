"""Addresses of stores: what is one, and that nothing secret is repeated of what is none."""

from pathlib import Path

import pytest

from tokensieve.addresses import s3_address, workspace_address
from tokensieve.errors import SettingsError, shortened
from tokensieve.settings import CleanSettings, S3Settings, checked
from tokensieve.storage import LocalStorage, open_storage

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCY"
WRONG = {
    "s3://": "has no name of a bucket",
    "s3:///key": "has no name of a bucket",
    "s3://B/x": "has no name of a bucket",
    "s3://ab/x": "has no name of a bucket",
    "s3://a..b/x": "has no name of a bucket",
    "s3://10.0.0.1/x": "has no name of a bucket",
    "s3://bücket/x": "has no name of a bucket",
    "S3://bucket/x": "has to be of the form s3://bucket/prefix",
    "s3:/bucket/x": "has to be of the form s3://bucket/prefix",
    "s3a://bucket/x": "has to be of the form s3://bucket/prefix",
    "gs://bucket/x": "has to be of the form s3://bucket/prefix",
    "file:///etc": "has to be of the form s3://bucket/prefix",
    "http://169.254.169.254/latest": "has to be of the form s3://bucket/prefix",
    f"https://bucket.host/x?X-Amz-Signature={SECRET}": "has to be of the form s3://bucket/prefix",
    f"s3://KEY:{SECRET}@bucket/x": "perhaps a secret",
    f"s3://bucket/x?X-Amz-Signature={SECRET}": "perhaps a secret",
    "s3://bucket/a/../b": "has a part between slashes",
    "s3://bucket/a/./b": "has a part between slashes",
    "s3://bucket/a//b": "has a part between slashes",
    "s3://bucket//a": "has a part between slashes",
    "s3://bucket/%2e%2e": "has a part between slashes",
    "s3://bucket/a b": "has a part between slashes",
    "s3://bucket/a+b": "has a part between slashes",
    "s3://bucket/[1]": "has a part between slashes",
    "s3://bucket/a*": "has a part between slashes",
    "s3://bucket/é": "has a part between slashes",
    "s3://bucket/a\n": "has a part between slashes",
    f"s3://bucket/{'a' * 129}": "has a part between slashes",
    "s3://bucket": "takes a whole bucket",
    "s3://bucket/": "takes a whole bucket",
    "s3://bucket/day=1": "may not hold `=`",
}
WRONG_ENDPOINTS = {
    "127.0.0.1:9000": "has to be of the form https://host:port",
    "ftp://host": "has to be of the form https://host:port",
    "http://host/path": "has to be of the form https://host:port",
    "http://host:99999": "has to be of the form https://host:port",
    "http://host?x=1": "has to be of the form https://host:port",
    f"http://KEY:{SECRET}@host": "perhaps a secret",
    "http://169.254.169.254": "never a store",
    "http://2852039166": "never a store",
    "http://0xA9FEA9FE:80": "never a store",
    "http://[::ffff:169.254.169.254]": "never a store",
    "http://[fd00:ec2::254]": "never a store",
    "http://metadata.google.internal": "never a store",
}


def test_an_address_is_a_bucket_and_a_prefix():
    assert s3_address("s3://my.bucket-1/a/b_c.d/") == ("my.bucket-1", "a/b_c.d")
    assert s3_address("s3://abc") == ("abc", "")
    assert s3_address("s3://abc/day=2026-11-20/x.jsonl") == ("abc", "day=2026-11-20/x.jsonl")
    assert str(workspace_address("s3://abc/d/e/")) == "s3://abc/d/e"


@pytest.mark.parametrize(("address", "rule"), WRONG.items())
def test_what_is_no_address_of_a_workspace_is_refused_by_its_rule(address, rule):
    with pytest.raises(SettingsError, match=rule):
        workspace_address(address)


@pytest.mark.parametrize("address", WRONG)
def test_settings_refuse_what_opening_refuses_and_repeat_no_secret(address):
    for open_it in (
        lambda: open_storage(address, S3Settings()),
        lambda: checked(CleanSettings, {"files": ["a"], "base": "b", "workspace": address}),
    ):
        with pytest.raises(SettingsError) as refused:
            open_it()
        assert SECRET not in str(refused.value)
        assert SECRET[:12] not in str(refused.value)


@pytest.mark.parametrize(("endpoint", "rule"), WRONG_ENDPOINTS.items())
def test_what_can_be_no_store_is_refused_as_an_endpoint(endpoint, rule):
    with pytest.raises(SettingsError, match=f"endpoint: .*{rule}") as refused:
        checked(S3Settings, {"endpoint": endpoint})

    assert SECRET[:12] not in str(refused.value)


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:9000", "https://minio.lan/", "http://[::1]:1"]
)
def test_a_store_of_ones_own_is_an_endpoint(endpoint):
    assert S3Settings(endpoint=endpoint).endpoint == endpoint


def test_a_directory_is_a_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert open_storage("s3", S3Settings()) == LocalStorage(tmp_path / "s3")
    assert open_storage("~/x", S3Settings()) == LocalStorage(Path.home() / "x")


def test_settings_hold_the_address_without_a_slash_at_its_end():
    settings = CleanSettings(files=("a",), base="b", workspace="s3://bucket/some/where/")

    assert settings.workspace == "s3://bucket/some/where"
    assert str(open_storage(settings.workspace, settings.s3)) == "s3://bucket/some/where"


def test_a_value_in_a_message_is_without_what_may_be_secret():
    assert shortened(f"s3://KEY:{SECRET}@bucket/x") == "'s3://***@bucket/x'"
    assert shortened("see https://host/a?token=1 and b@c") == "'see https://host/a?*** and b@c'"
    assert shortened("who? me@home") == "'who? me@home'"
