"""Keys: found by their hash alone, rotated with a grace, forgotten after a second."""

from datetime import UTC, datetime, timedelta

import pytest

from streams.runtime.database import Database
from streams.runtime.keys import (
    CACHE_SECONDS,
    KnownKeys,
    create_key,
    digest,
    find_key,
    list_keys,
    revoke_key,
    rotate_key,
)
from streams.settings import Settings


async def test_a_rotated_key_takes_both_secrets_until_the_grace_is_over(settings: Settings) -> None:
    async with Database(settings) as database, database.connection() as connection:
        stored, first = await create_key(connection, "desk", ["ns_1"], ("read",))
        second = await rotate_key(connection, stored.key_id, timedelta(hours=1))
        assert second is not None
        for secret in (first, second):
            found = await find_key(connection, digest(secret))
            assert found is not None
            assert (found.key_id, found.namespace_ids, found.scopes) == (stored.key_id, ["ns_1"], ["read"])
        await connection.execute("UPDATE api_keys SET previous_expires_at = now() - interval '1 s'")
        assert await find_key(connection, digest(first)) is None
        assert await find_key(connection, digest(second)) is not None
        # A second rotation ends what the first left over.
        third = await rotate_key(connection, stored.key_id, timedelta(hours=1))
        assert third is not None
        assert [await find_key(connection, digest(s)) is None for s in (first, second, third)] == [
            True,
            False,
            False,
        ]
        assert await revoke_key(connection, stored.key_id)
        assert [await find_key(connection, digest(s)) for s in (first, second, third)] == [None] * 3
        assert await rotate_key(connection, stored.key_id, timedelta(hours=1)) is None
        assert await rotate_key(connection, "key_nobody", timedelta(hours=1)) is None


async def test_a_key_ends_when_it_expires_and_its_last_use_is_noted(settings: Settings) -> None:
    async with Database(settings) as database, database.connection() as connection:
        ends = datetime.now(UTC) + timedelta(hours=1)
        stored, secret = await create_key(connection, "short", None, ("read",), ends)
        assert stored.expires_at == ends
        assert (await list_keys(connection))[0].last_used_at is None
        assert await find_key(connection, digest(secret)) is not None
        used = (await list_keys(connection))[0].last_used_at
        assert used is not None
        assert used.second == used.microsecond == 0
        await connection.execute("UPDATE api_keys SET expires_at = now() - interval '1 s'")
        assert await find_key(connection, digest(secret)) is None
        rotated = await rotate_key(connection, stored.key_id, timedelta(hours=1))
        assert rotated is not None
        assert await find_key(connection, digest(rotated)) is None


async def test_nothing_of_a_secret_is_stored(settings: Settings) -> None:
    async with Database(settings) as database, database.connection() as connection:
        stored, first = await create_key(connection, "desk", None, ("read",))
        second = await rotate_key(connection, stored.key_id, timedelta(hours=1))
        assert second is not None
        row = await (await connection.execute("SELECT k::text FROM api_keys AS k")).fetchone()
        assert row is not None
        for secret in (first, second):
            assert len(secret) >= 40
            assert secret not in row[0]
            assert secret[3:20] not in row[0]


async def test_a_key_is_asked_for_once_a_second_and_a_revoked_one_is_refused_after_it(settings: Settings) -> None:
    now = 100.0
    async with Database(settings) as database:
        known = KnownKeys(database, lambda: now)
        async with database.connection() as connection:
            stored, secret = await create_key(connection, "desk", None, ("read",))
            assert await known.key(digest("sk_other")) is None
            assert (await known.key(digest(secret))) is not None
            await revoke_key(connection, stored.key_id)
            now += CACHE_SECONDS - 0.01
            assert (await known.key(digest(secret))) is not None
            now += 0.02
            assert (await known.key(digest(secret))) is None
            # What was refused is not remembered: a key works as soon as it is there.
            await connection.execute("UPDATE api_keys SET revoked_at = NULL")
            assert (await known.key(digest(secret))) is not None


@pytest.mark.parametrize("secret", ["", "\ud800", "sk_" + "x" * 10_000, "sk_'; DROP TABLE api_keys; --"])
async def test_any_text_may_be_tried(settings: Settings, secret: str) -> None:
    async with Database(settings) as database:
        assert await KnownKeys(database).key(digest(secret)) is None
