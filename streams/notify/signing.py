"""Standard Webhooks signatures (github.com/standard-webhooks/standard-webhooks, spec v1). Pure."""

import base64
import binascii
import hashlib
import hmac
from datetime import datetime

_PREFIX = "whsec_"


class BadSecretError(ValueError):
    """The signing secret says it is base64 and is not."""


def secret_bytes(secret: str) -> bytes:
    """The key: ``whsec_`` + base64 of it, or any other text as it is. Raises :class:`BadSecretError`."""
    encoded = secret.removeprefix(_PREFIX)
    if encoded == secret:
        return secret.encode()
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise BadSecretError("the signing secret begins with whsec_ but is not base64 after it") from error


def signed_headers(webhook_id: str, at: datetime, body: bytes, secret: str | None) -> dict[str, str]:
    """``webhook-id``, ``webhook-timestamp`` (seconds) and, with a secret, ``webhook-signature``: ``v1,`` +
    base64 of HMAC-SHA256 over ``id.timestamp.body``. Raises :class:`BadSecretError`."""
    timestamp = str(int(at.timestamp()))
    headers = {"webhook-id": webhook_id, "webhook-timestamp": timestamp}
    if secret is not None:
        signed = f"{webhook_id}.{timestamp}.".encode() + body
        digest = hmac.new(secret_bytes(secret), signed, hashlib.sha256).digest()
        headers["webhook-signature"] = "v1," + base64.b64encode(digest).decode()
    return headers
