"""Keys of the HTTP API: only their SHA-256 is stored, so a key is shown once and never again (contract 1.2)."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import class_row

from streams.runtime.database import Connection

SCOPES: Final = ("read", "write", "admin")
_COLUMNS: Final = "key_id, name, namespace_ids, scopes, created_at, expires_at, revoked_at"


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


def digest(secret: str) -> bytes:
    """What is stored of a key. A key is 256 random bits, which no salt would make harder to guess."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


async def create_key(
    connection: Connection, name: str, namespace_ids: Sequence[str] | None, scopes: Sequence[str]
) -> tuple[ApiKey, str]:
    """Store a new key; returns it and its secret, which exists nowhere else."""
    secret = f"sk_{secrets.token_urlsafe(32)}"
    async with connection.cursor(row_factory=class_row(ApiKey)) as cursor:
        await cursor.execute(
            "INSERT INTO api_keys (key_id, secret_sha256, name, namespace_ids, scopes) VALUES (%s, %s, %s, %s, %s)"
            f" RETURNING {_COLUMNS}".encode(),
            (
                f"key_{secrets.token_hex(8)}",
                digest(secret),
                name,
                None if namespace_ids is None else list(namespace_ids),
                list(scopes),
            ),
        )
        (stored,) = await cursor.fetchall()
    return stored, secret


async def list_keys(connection: Connection) -> list[ApiKey]:
    """Every key, newest first, revoked ones too."""
    async with connection.cursor(row_factory=class_row(ApiKey)) as cursor:
        await cursor.execute(f"SELECT {_COLUMNS} FROM api_keys ORDER BY created_at DESC, key_id".encode())
        return await cursor.fetchall()


async def find_key(connection: Connection, secret: str) -> ApiKey | None:
    """The key with this secret, unless it was revoked or has expired."""
    async with connection.cursor(row_factory=class_row(ApiKey)) as cursor:
        await cursor.execute(
            f"SELECT {_COLUMNS} FROM api_keys WHERE secret_sha256 = %s"
            " AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())".encode(),
            (digest(secret),),
        )
        return await cursor.fetchone()


async def revoke_key(connection: Connection, key_id: str) -> bool:
    """Refuse a key from now on. False when there is none with this id that was not revoked."""
    updated = await connection.execute(
        "UPDATE api_keys SET revoked_at = now() WHERE key_id = %s AND revoked_at IS NULL", (key_id,)
    )
    return updated.rowcount == 1
