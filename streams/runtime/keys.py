"""Keys of the HTTP API: only their SHA-256 is stored, so a key is shown once and never again (contract 1.2).

What is compared is the hash, found by an index: how long that takes tells nothing about a secret, since nobody can
choose a secret by the beginning of its hash.
"""

import hashlib
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from psycopg.rows import class_row

from streams.runtime.database import Connection, Database

SCOPES: Final = ("read", "write", "admin")
"""``read``: ask for anything. ``write``: create, change, delete and run what belongs to a namespace. ``admin``:
what belongs to the server: namespaces themselves, its webhooks, its metrics. No scope includes another."""
CACHE_SECONDS: Final = 1.0
"""For so long a process knows a key without asking: a key that is revoked or rotated is refused after at most so
long."""
_CACHED: Final = 10_000
_NOTED: Final = timedelta(minutes=1)
_T = TypeVar("_T")
_PREFIX: Final = "sk_"
_COLUMNS: Final = (
    "key_id, name, namespace_ids, scopes, created_at, expires_at, revoked_at, rotated_at, previous_expires_at,"
    " last_used_at"
)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is stored. ``namespace_ids`` is ``None`` for every namespace."""

    key_id: str
    name: str
    namespace_ids: list[str] | None
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    rotated_at: datetime | None = None
    previous_expires_at: datetime | None = None
    """Until when the secret before the last rotation is accepted too."""
    last_used_at: datetime | None = None
    """To the minute."""


def digest(secret: str) -> bytes:
    """What is stored of a key. A key is 256 random bits, which no salt would make harder to guess."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def new_secret() -> str:
    """A fresh secret of a key."""
    return _PREFIX + secrets.token_urlsafe(32)


async def create_key(
    connection: Connection,
    name: str,
    namespace_ids: Sequence[str] | None,
    scopes: Sequence[str],
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Store a new key; returns it and its secret, which exists nowhere else."""
    secret = new_secret()
    async with connection.cursor(row_factory=class_row(ApiKey)) as cursor:
        await cursor.execute(
            "INSERT INTO api_keys (key_id, secret_sha256, name, namespace_ids, scopes, expires_at)"
            f" VALUES (%s, %s, %s, %s, %s, %s) RETURNING {_COLUMNS}".encode(),
            (
                f"key_{secrets.token_hex(8)}",
                digest(secret),
                name,
                None if namespace_ids is None else list(namespace_ids),
                list(scopes),
                expires_at,
            ),
        )
        (stored,) = await cursor.fetchall()
    return stored, secret


async def list_keys(connection: Connection) -> list[ApiKey]:
    """Every key, newest first, revoked ones too."""
    async with connection.cursor(row_factory=class_row(ApiKey)) as cursor:
        await cursor.execute(f"SELECT {_COLUMNS} FROM api_keys ORDER BY created_at DESC, key_id".encode())
        return await cursor.fetchall()


async def find_key(connection: Connection, secret_digest: bytes) -> ApiKey | None:
    """The key with the secret of this digest, unless it was revoked or has expired, or the secret was rotated away
    and its grace is over. Notes the use."""
    async with connection.cursor(row_factory=class_row(ApiKey)) as cursor:
        await cursor.execute(
            f"SELECT {_COLUMNS} FROM api_keys WHERE secret_sha256 = %(digest)s AND revoked_at IS NULL"
            f" AND (expires_at IS NULL OR expires_at > now())"
            f" UNION ALL SELECT {_COLUMNS} FROM api_keys WHERE previous_sha256 = %(digest)s AND revoked_at IS NULL"
            " AND (expires_at IS NULL OR expires_at > now()) AND previous_expires_at > now()".encode(),
            {"digest": secret_digest},
        )
        found = await cursor.fetchone()
    if found is None:
        return None
    if found.last_used_at is not None and datetime.now(UTC) - found.last_used_at < _NOTED:
        return found
    # Another process may be noting the same: who finds the row locked leaves it to that one.
    await connection.execute(
        "UPDATE api_keys SET last_used_at = date_trunc('minute', now()) WHERE key_id IN"
        " (SELECT key_id FROM api_keys WHERE key_id = %s FOR NO KEY UPDATE SKIP LOCKED)",
        (found.key_id,),
    )
    return found


async def rotate_key(connection: Connection, key_id: str, grace: timedelta) -> str | None:
    """Give a key a new secret, which is returned and exists nowhere else; the old one is accepted for ``grace``,
    one that is older not any more. ``None`` when there is no such key, or it was revoked."""
    secret = new_secret()
    updated = await connection.execute(
        "UPDATE api_keys SET previous_sha256 = secret_sha256, previous_expires_at = now() + %s,"
        " rotated_at = now(), secret_sha256 = %s WHERE key_id = %s AND revoked_at IS NULL",
        (grace, digest(secret), key_id),
    )
    return secret if updated.rowcount == 1 else None


async def revoke_key(connection: Connection, key_id: str) -> bool:
    """Refuse a key from now on. False when there is none with this id that was not revoked."""
    updated = await connection.execute(
        "UPDATE api_keys SET revoked_at = now() WHERE key_id = %s AND revoked_at IS NULL", (key_id,)
    )
    return updated.rowcount == 1


@dataclass(frozen=True, slots=True)
class Session:
    """A browser's session: it stands for the secret it was opened with."""

    secret_digest: bytes
    expires_at: datetime


async def open_session(connection: Connection, secret_digest: bytes, lasts: timedelta) -> tuple[str, datetime]:
    """Open a session for a secret that was found valid; returns its token and when it ends. What has ended is
    forgotten on the way."""
    token = secrets.token_urlsafe(32)
    await connection.execute("DELETE FROM api_sessions WHERE expires_at < now()")
    row = await (
        await connection.execute(
            "INSERT INTO api_sessions (session_sha256, secret_sha256, expires_at) VALUES (%s, %s, now() + %s)"
            " RETURNING expires_at",
            (digest(token), secret_digest, lasts),
        )
    ).fetchone()
    assert row is not None
    return token, row[0]


async def find_session(connection: Connection, token: str) -> Session | None:
    """An open session."""
    async with connection.cursor(row_factory=class_row(Session)) as cursor:
        await cursor.execute(
            "SELECT secret_sha256 AS secret_digest, expires_at FROM api_sessions"
            " WHERE session_sha256 = %s AND expires_at > now()",
            (digest(token),),
        )
        return await cursor.fetchone()


async def close_session(connection: Connection, token: str) -> None:
    """End a session, if it is open."""
    await connection.execute("DELETE FROM api_sessions WHERE session_sha256 = %s", (digest(token),))


class KnownKeys:
    """Valid secrets and sessions, remembered for :data:`CACHE_SECONDS`; what is not valid is never remembered."""

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._monotonic = monotonic
        self._keys: dict[bytes, tuple[float, ApiKey]] = {}
        self._sessions: dict[bytes, tuple[float, Session]] = {}

    async def key(self, secret_digest: bytes) -> ApiKey | None:
        """The key with this secret."""
        held = self._keys.get(secret_digest)
        if held is not None and self._monotonic() < held[0]:
            return held[1]
        asked = self._monotonic()
        async with self._database.connection() as connection:
            found = await find_key(connection, secret_digest)
        return _remember(self._keys, secret_digest, found, asked)

    async def session(self, token: str) -> Session | None:
        """The session with this token."""
        key = digest(token)
        held = self._sessions.get(key)
        if held is not None and self._monotonic() < held[0]:
            return held[1]
        asked = self._monotonic()
        async with self._database.connection() as connection:
            found = await find_session(connection, token)
        return _remember(self._sessions, key, found, asked)

    def forget_session(self, token: str) -> None:
        """Ask again about a session that was closed."""
        self._sessions.pop(digest(token), None)


def _remember(held: dict[bytes, tuple[float, _T]], key: bytes, found: _T | None, asked: float) -> _T | None:
    held.pop(key, None)
    if found is None:
        return None
    while len(held) >= _CACHED:
        del held[next(iter(held))]
    held[key] = (asked + CACHE_SECONDS, found)
    return found
