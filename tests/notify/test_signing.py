"""Standard Webhooks signatures: published vectors, and a recomputation."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.notify.signing import BadSecretError, secret_bytes, signed_headers

AT = datetime(2026, 3, 1, 12, 0, 0, 999_999, tzinfo=UTC)


def test_the_vector_of_the_reference_libraries() -> None:
    """github.com/standard-webhooks/standard-webhooks, the "sign function works" test of every library."""
    headers = signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        b'{"test": 2432232314}',
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_the_vector_of_the_vendor_manual() -> None:
    """docs.svix.com, "Verifying webhooks manually"."""
    headers = signed_headers(
        "msg_loFOjxBNrRLzqYUf",
        datetime.fromtimestamp(1731705121, UTC),
        b'{"event_type":"ping","data":{"success":true}}',
        "whsec_plJ3nmyCDGBKInavdOK15jsl",
    )
    assert headers["webhook-signature"] == "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="


@given(st.text(min_size=1), st.binary(), st.binary(min_size=1))
def test_recomputed(webhook_id: str, body: bytes, key: bytes) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    webhook_id = webhook_id.encode(errors="ignore").decode()
    headers = signed_headers(webhook_id, AT, body, secret)
    message = webhook_id.encode() + b"." + headers["webhook-timestamp"].encode() + b"." + body
    expected = base64.b64encode(hmac.digest(key, message, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert int(headers["webhook-timestamp"]) == int(AT.timestamp())


def test_without_a_secret_nothing_is_signed() -> None:
    assert set(signed_headers("id", AT, b"", None)) == {"webhook-id", "webhook-timestamp"}


def test_a_secret_without_the_prefix_is_taken_as_it_is() -> None:
    assert secret_bytes("päss") == "päss".encode()
    assert secret_bytes("whsec_" + base64.b64encode(b"key").decode()) == b"key"


def test_a_prefixed_secret_that_is_not_base64_is_an_error() -> None:
    with pytest.raises(BadSecretError, match="not base64"):
        secret_bytes("whsec_***")
