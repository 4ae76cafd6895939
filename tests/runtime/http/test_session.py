"""A browser's session: opened with a key, ended with it, and of no use to other sites' pages."""

from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie

import httpx

from streams.api.namespaces import ensure_namespace
from streams.runtime.agent import Context
from streams.runtime.http.cookies import PLAIN, SECURE
from streams.runtime.keys import create_key, find_session, revoke_key, rotate_key
from tests.api.make import refused
from tests.runtime.http.test_guard import application, here

__all__ = ["here"]


def browser(context: Context, scheme: str = "http") -> httpx.AsyncClient:
    """An application of its own: what another process has just learned of a key, it has not."""
    transport = httpx.ASGITransport(application(context))
    return httpx.AsyncClient(transport=transport, base_url=f"{scheme}://desk.example")


async def key(context: Context, *scopes: str) -> tuple[str, dict[str, str]]:
    async with context.database.connection() as connection:
        stored, secret = await create_key(connection, "browser", None, scopes or ("read", "write"))
    return stored.key_id, {"Authorization": f"Bearer {secret}"}


async def test_a_key_is_exchanged_for_a_cookie_that_no_script_reads(here: Context) -> None:
    key_id, bearer = await key(here)
    for scheme, name in (("http", PLAIN), ("https", SECURE)):
        async with browser(here, scheme) as page:
            refused(await page.post("/v1/session"), 401, "UnauthorizedError")
            opened = await page.post("/v1/session", headers=bearer)
            assert opened.status_code == 200, opened.text
            (cookie,) = SimpleCookie(opened.headers["Set-Cookie"]).values()
            assert cookie.key == name
            assert cookie["httponly"]
            assert cookie["samesite"] == "strict"
            assert cookie["path"] == "/"
            assert not cookie["domain"]
            assert bool(cookie["secure"]) == (scheme == "https")
            assert bearer["Authorization"].split()[1] not in opened.headers["Set-Cookie"]
            # From here on no header: what EventSource sends.
            stream = {"Accept": "text/event-stream", "Sec-Fetch-Site": "same-origin"}
            assert (await page.get("/v1/alerts/executions?namespace=default", headers=stream)).status_code == 200
            whoever = (await page.get("/v1/session")).json()
            assert (whoever["key_id"], whoever["scopes"]) == (key_id, ["read", "write"])
            assert whoever["expires_at"] == opened.json()["expires_at"]
            assert (await page.delete("/v1/session", headers={"Sec-Fetch-Site": "same-origin"})).json() == {
                "success": True
            }
            refused(await page.get("/v1/alerts"), 401, "UnauthorizedError")
            # The token itself is worth nothing any more, in another browser.
            async with browser(here, scheme) as thief:
                thief.cookies.set(name, cookie.value)
                refused(await thief.get("/v1/alerts"), 401, "UnauthorizedError")


async def test_a_session_ends_with_its_key_and_with_its_time(here: Context) -> None:
    async with browser(here) as page:
        for end in ("revoked", "rotated", "expired", "over"):
            key_id, bearer = await key(here)
            assert (await page.post("/v1/session", headers=bearer)).status_code == 200
            token = page.cookies[PLAIN]
            async with here.database.connection() as connection:
                if end == "revoked":
                    await revoke_key(connection, key_id)
                elif end == "rotated":
                    assert await rotate_key(connection, key_id, timedelta(0))
                elif end == "expired":
                    await connection.execute(
                        "UPDATE api_keys SET expires_at = now() - interval '1 s' WHERE key_id = %s", (key_id,)
                    )
                else:
                    await connection.execute("UPDATE api_sessions SET expires_at = now() - interval '1 s'")
                    assert await find_session(connection, token) is None
            async with browser(here) as other:
                other.cookies.set(PLAIN, token)
                error = refused(await other.get("/v1/alerts"), 401, "UnauthorizedError")
                assert "session has ended" in error["message"]
        # What has ended is forgotten when the next is opened, and nothing stored opens anything.
        _, bearer = await key(here)
        await page.post("/v1/session", headers=bearer)
        async with here.database.connection() as connection:
            rows = await (await connection.execute("SELECT session_sha256 FROM api_sessions")).fetchall()
        assert page.cookies[PLAIN].encode() not in b"".join(bytes(row[0]) for row in rows)
        assert len(rows) == 1


async def test_a_session_does_not_outlive_a_key_that_expires(here: Context) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=5)
    async with here.database.connection() as connection:
        _, secret = await create_key(connection, "short", None, ("read",), soon)
    async with browser(here) as page:
        opened = await page.post("/v1/session", headers={"Authorization": f"Bearer {secret}"})
        assert datetime.fromisoformat(opened.json()["expires_at"]) <= soon
        assert (await page.get("/v1/alerts")).status_code == 200
        refused(await page.post("/v1/collections", json={}), 403, "ForbiddenError")


async def test_pages_of_other_sites_change_nothing_by_a_session(here: Context) -> None:
    await ensure_namespace(here.database, "default")
    _, bearer = await key(here)
    body = {"collection_name": "news", "source": {"type": "direct_upsert"}}
    async with browser(here) as page:
        await page.post("/v1/session", headers=bearer)
        for where in (
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "none"},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {},
        ):
            refused(await page.post("/v1/collections", json=body, headers=where), 403, "ForbiddenError")
        refused(await page.get("/v1/alerts", headers={"Sec-Fetch-Site": "cross-site"}), 403, "ForbiddenError")
        # A key in the header is not sent by a browser on its own, so it counts wherever the page is from.
        elsewhere = {"Sec-Fetch-Site": "cross-site", **bearer}
        assert (await page.post("/v1/collections", json=body, headers=elsewhere)).status_code == 200
        for name, own in (("a1a", {"Sec-Fetch-Site": "same-origin"}), ("b1b", {"Origin": "http://desk.example"})):
            made = await page.post("/v1/collections", json={**body, "collection_name": name}, headers=own)
            assert made.status_code == 200, made.text


async def test_a_wrong_scheme_is_not_made_up_for_by_a_cookie(here: Context) -> None:
    _, bearer = await key(here)
    async with browser(here) as page:
        await page.post("/v1/session", headers=bearer)
        refused(await page.get("/v1/alerts", headers={"Authorization": "Basic x"}), 401, "UnauthorizedError")
        # A cookie set without TLS is none behind it.
        async with browser(here, "https") as encrypted:
            encrypted.cookies.set(PLAIN, page.cookies[PLAIN])
            refused(await encrypted.get("/v1/alerts"), 401, "UnauthorizedError")
