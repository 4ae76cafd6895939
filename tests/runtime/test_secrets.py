"""Secrets at rest, and how the key that encrypts them is changed."""

import base64
import secrets

import pytest
from pydantic import SecretStr, ValidationError

from streams.runtime.database import Database
from streams.runtime.secrets import SecretUnreadableError, read_secret, reencrypt, store_secret
from streams.settings import Settings


def fresh() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


async def test_the_key_is_changed_without_a_secret_being_lost(settings: Settings) -> None:
    old, new = fresh(), fresh()
    async with Database(settings) as database, database.transaction() as connection:
        first = await store_secret(connection, SecretStr(old), "ns_1", "s3cret")
        both = SecretStr(f"{new}, {old}")
        assert await read_secret(connection, both, "ns_1", first) == "s3cret"
        second = await store_secret(connection, both, "ns_1", "t0ken")
        assert await read_secret(connection, SecretStr(new), "ns_1", second) == "t0ken"
        with pytest.raises(SecretUnreadableError):
            await read_secret(connection, SecretStr(new), "ns_1", first)
        with pytest.raises(SecretUnreadableError, match="no key of TIDEWATCH_SECRET_KEY"):
            await reencrypt(connection, SecretStr(new))
        assert await reencrypt(connection, both) == 2
        assert await read_secret(connection, SecretStr(new), "ns_1", first) == "s3cret"
        # A secret is of its namespace.
        assert await read_secret(connection, SecretStr(new), "ns_2", first) is None
        with pytest.raises(SecretUnreadableError):
            await read_secret(connection, SecretStr(old), "ns_1", second)


@pytest.mark.parametrize(
    "key",
    ["", ",", "short", "x" * 44, fresh()[:-4], f"{fresh()},nonsense"],
    ids=["empty", "comma", "short", "long", "cut", "one of two"],
)
def test_a_key_that_could_not_encrypt_is_refused_at_the_start_and_not_repeated(key: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(secret_key=SecretStr(key))
    assert "32 random bytes" in str(refused.value)
    if len(key) > 10:
        assert key not in str(refused.value)


@pytest.mark.parametrize("key", [fresh(), f"{fresh()},{fresh()}"], ids=["one", "two"])
def test_keys_that_encrypt_are_taken(key: str) -> None:
    assert Settings(secret_key=SecretStr(key)).secret_key == SecretStr(key)
