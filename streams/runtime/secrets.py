"""Secrets at rest: encrypted in PostgreSQL under an id; only the id travels.

``TIDEWATCH_SECRET_KEY`` may hold several keys by commas: the first encrypts, all of them decrypt. So a key is
changed by putting a new one in front, encrypting anew (:func:`reencrypt`), and taking the old one away.
"""

import secrets

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr

from streams.runtime.database import Connection
from streams.settings import listed

PREFIX = "secret_"


class SecretKeyMissingError(RuntimeError):
    """A secret should be stored or read but the server has no key."""

    def __init__(self) -> None:
        super().__init__("set TIDEWATCH_SECRET_KEY (32 random bytes in URL-safe base64) to store webhook secrets")


class SecretUnreadableError(RuntimeError):
    """The stored secret was encrypted under another key."""


async def store_secret(connection: Connection, key: SecretStr | None, namespace_id: str, plain: str) -> str:
    """Encrypt and store a secret in the caller's transaction; returns its id. Raises
    :class:`SecretKeyMissingError`."""
    if key is None:
        raise SecretKeyMissingError
    secret_id = PREFIX + secrets.token_hex(12)
    await connection.execute(
        "INSERT INTO secrets (secret_id, namespace_id, ciphertext) VALUES (%s, %s, %s)",
        (secret_id, namespace_id, _cipher(key).encrypt(plain.encode())),
    )
    return secret_id


async def read_secret(
    connection: Connection, key: SecretStr | None, namespace_id: str, secret_id: str
) -> str | None:
    """The plain secret, ``None`` when unknown in the namespace. Raises :class:`SecretKeyMissingError` and
    :class:`SecretUnreadableError`."""
    if key is None:
        raise SecretKeyMissingError
    row = await (
        await connection.execute(
            "SELECT ciphertext FROM secrets WHERE secret_id = %s AND namespace_id = %s", (secret_id, namespace_id)
        )
    ).fetchone()
    if row is None:
        return None
    try:
        return _cipher(key).decrypt(bytes(row[0])).decode()
    except InvalidToken as error:
        raise SecretUnreadableError(f"{secret_id} was encrypted under another TIDEWATCH_SECRET_KEY") from error


async def reencrypt(connection: Connection, key: SecretStr | None) -> int:
    """Encrypt every stored secret anew with the first key, in the caller's transaction; returns how many there
    are. Raises :class:`SecretKeyMissingError`, and :class:`SecretUnreadableError` for one that no key decrypts:
    then nothing has changed."""
    if key is None:
        raise SecretKeyMissingError
    cipher = _cipher(key)
    rows = await (
        await connection.execute("SELECT secret_id, ciphertext FROM secrets ORDER BY secret_id FOR UPDATE")
    ).fetchall()
    for secret_id, ciphertext in rows:
        try:
            fresh = cipher.rotate(bytes(ciphertext))
        except InvalidToken as error:
            raise SecretUnreadableError(f"no key of TIDEWATCH_SECRET_KEY decrypts {secret_id}") from error
        await connection.execute("UPDATE secrets SET ciphertext = %s WHERE secret_id = %s", (fresh, secret_id))
    return len(rows)


def _cipher(key: SecretStr) -> MultiFernet:
    return MultiFernet([Fernet(part) for part in listed(key.get_secret_value())])
