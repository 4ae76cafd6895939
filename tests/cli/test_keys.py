"""Keys made by the command, used over HTTP."""

import pytest
from pydantic import SecretStr

from streams.api.namespaces import ensure_namespace
from streams.runtime.agent import Context
from streams.runtime.broker import Broker
from streams.runtime.database import Database
from streams.settings import Settings
from tests.api import make
from tests.api.conftest import KEY, caller
from tests.api.make import refused
from tests.cli.processes import environment, tidewatch


def created(settings: Settings, *arguments: str) -> str:
    answer = tidewatch("keys", "create", *arguments, variables=environment(settings))
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.decode().strip()


async def test_a_key_does_what_it_was_made_for_until_it_is_revoked(settings: Settings) -> None:
    known = settings.model_copy(update={"api_key": SecretStr(KEY)})
    async with Database(known) as database:
        context = Context(known, Broker(known), database)
        default = await ensure_namespace(database, known.namespace)
        other = await ensure_namespace(database, "other")
        reader = created(settings, "a reader", "--scopes", "read")
        writer = created(settings, "desk", "--namespace", "other", "--scopes", "read,write")
        everything = created(settings, "everything", "--expires", "90d")

        async with caller(context, reader) as api:
            assert (await api.get("/v1/alerts")).status_code == 200
            assert (await api.post("/v1/alerts/list")).status_code == 200
            refused(await api.delete("/v1/alerts/history"), 403, "ForbiddenError")
            refused(await api.post("/v1/collections", json={}), 403, "ForbiddenError")
        async with caller(context, writer) as api:
            refused(await api.get("/v1/alerts"), 404, "NotFoundError")
            refused(await api.get("/v1/alerts", headers={"X-Namespace": default}), 404, "NotFoundError")
            api.headers["X-Namespace"] = other
            await make.collection(api)
        async with caller(context, everything) as api:
            await make.collection(api)

        async with database.connection() as connection:
            rows = await (await connection.execute("SELECT key_id, name, secret_sha256 FROM api_keys")).fetchall()
        ids = {name: key_id for key_id, name, _ in rows}
        listed = tidewatch("keys", "list", variables=environment(settings, COLUMNS="200")).stdout.decode()
        assert len(rows) == 3
        for secret in (reader, writer, everything):
            assert secret.startswith("sk_")
            assert secret not in listed
            assert all(secret.encode() not in digest for _, _, digest in rows)
        for words in (ids["desk"], "desk", "other", "read,write", "read,write,admin", "until", "valid"):
            assert words in listed

        rotated = tidewatch("keys", "rotate", ids["desk"], "--grace", "1h", variables=environment(settings))
        assert rotated.returncode == 0, rotated.stderr
        fresh = rotated.stdout.decode().strip()
        assert fresh.startswith("sk_")
        assert fresh != writer
        for secret in (fresh, writer):
            async with caller(context, secret) as api:
                assert (await api.get("/v1/alerts", headers={"X-Namespace": "other"})).status_code == 200

        gone = tidewatch("keys", "revoke", ids["desk"], variables=environment(settings))
        assert gone.returncode == 0, gone.stderr
        again = tidewatch("keys", "revoke", ids["desk"], variables=environment(settings))
        assert (again.returncode, b"there is no key" in again.stderr) == (1, True)
        for secret in (fresh, writer):
            async with caller(context, secret) as api:
                refused(await api.get("/v1/alerts", headers={"X-Namespace": "other"}), 401, "UnauthorizedError")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--scopes", "read,fly"), b"unknown scope fly; there are read, write, admin"),
        (("--scopes", ","), b"at least one"),
        (("--namespace", "nowhere"), b"there is no namespace 'nowhere'"),
        (("--expires", "yesterday"), b"--expires: 'yesterday' is neither a length of time"),
        (("--expires", "2020-01-01"), b"is not in the future"),
    ],
)
async def test_a_key_that_could_not_work_is_not_made(
    settings: Settings, arguments: tuple[str, ...], words: bytes
) -> None:
    answer = tidewatch("keys", "create", "k", *arguments, variables=environment(settings))
    assert answer.returncode == 1
    assert words in answer.stderr
    async with Database(settings) as database, database.connection() as connection:
        assert await (await connection.execute("SELECT count(*) FROM api_keys")).fetchone() == (0,)
