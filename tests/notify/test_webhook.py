"""One POST against a real server: what is sent, what comes back, where it may not go."""

import asyncio
import socket
from collections.abc import Iterator

import pytest
from aiohttp import web

from streams.notify.retry import Outcome
from streams.notify.webhook import Target, Webhooks
from tests.notify.support import AT, Received, receiving


def _target(url: str, **headers: str) -> Target:
    return Target(url, headers, "secret", 5.0)


async def _post(target: Target, *, allow_private: bool = True) -> Outcome:
    async with Webhooks(allow_private=allow_private) as webhooks:
        return await webhooks.post(target, "exec_1_0", b'{"a":1}', AT)


async def test_what_is_sent() -> None:
    async with receiving() as receiver:
        outcome = await _post(_target(receiver.url + "/in?x=1", **{"X-Team": "a"}))
    assert outcome == Outcome(200)
    (received,) = receiver.requests
    assert received.body == b'{"a":1}'
    assert received.headers["content-type"] == "application/json"
    assert received.headers["x-team"] == "a"
    assert received.headers["webhook-id"] == "exec_1_0"
    assert received.headers["webhook-timestamp"] == str(int(AT.timestamp()))
    assert received.headers["webhook-signature"].startswith("v1,")


@pytest.mark.parametrize("status", [204, 301, 307, 404, 410, 429, 500])
async def test_the_answer_is_the_outcome_and_redirects_are_not_followed(status: int) -> None:
    async with receiving() as receiver:
        receiver.answers((status, {"Retry-After": "7", "Location": receiver.url + "/elsewhere"}))
        assert await _post(_target(receiver.url + "/in")) == Outcome(status, retry_after="7")
        assert [received.path for received in receiver.requests] == ["/in"]


async def test_a_silent_endpoint_ends_with_the_timeout() -> None:
    released = asyncio.Event()

    async def never(_: Received) -> web.Response:
        await released.wait()
        return web.Response()

    async with receiving() as receiver:
        receiver.answer = never
        outcome = await _post(Target(receiver.url, {}, None, 0.2))
        released.set()
    assert outcome == Outcome(error="no answer within 0.2 s")


async def test_an_answer_without_end_is_read_only_so_far() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=200)
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65_536)
        except ConnectionError:
            return response

    app = web.Application()
    app.router.add_post("/", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        assert await _post(_target(f"http://127.0.0.1:{runner.addresses[0][1]}/")) == Outcome(200)
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"garbage\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nbroken header\r\n\r\n", "not HTTP"),
        (b"", "no complete answer"),
    ],
)
async def test_a_broken_answer_does_not_give_the_address_away(answer: bytes, words: str) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b'{"a":1}')
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        outcome = await _post(_target(f"http://127.0.0.1:{port}/services/T0/B0/token"))
    assert (outcome.http_status, outcome.final) == (None, None)
    assert words in (outcome.error or "")
    assert not any(part in (outcome.error or "") for part in ("token", "127.0.0.1", "/services"))


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port nobody listens on, and nobody else can take."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


async def test_nobody_there(closed_port: int) -> None:
    assert await _post(_target(f"http://127.0.0.1:{closed_port}/")) == Outcome(error="connection refused")


async def test_a_name_that_does_not_resolve() -> None:
    outcome = await _post(_target("http://nobody.invalid/"))
    assert outcome.final is None
    assert outcome.error is not None
    assert "resolve" in outcome.error


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "0.0.0.0", "[::ffff:127.0.0.1]"])
async def test_private_addresses_are_refused_at_connect_time(host: str) -> None:
    async with receiving() as receiver:
        port = receiver.url.rsplit(":", 1)[1]
        outcome = await _post(_target(f"http://{host}:{port}/"), allow_private=False)
        assert receiver.requests == []
    assert outcome.http_status is None
    assert outcome.final == "failed"
    assert outcome.error is not None
    assert "TIDEWATCH_ALLOW_PRIVATE_WEBHOOKS" in outcome.error
    assert "Errno" not in outcome.error
    assert any(word in outcome.error for word in ("loopback", "unspecified", "IPv4-mapped"))


async def test_an_untrusted_certificate_is_not_accepted(tls_receiver: str) -> None:
    outcome = await _post(_target(tls_receiver))
    assert outcome.http_status is None
    assert outcome.error is not None
    assert "certificate" in outcome.error.lower()


@pytest.fixture
def tls_receiver(tmp_path: object) -> Iterator[str]:
    """A TLS server with a certificate that nobody signed."""
    import ssl
    import threading
    from datetime import UTC, datetime, timedelta
    from pathlib import Path

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = Path(str(tmp_path)) / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        def serve() -> None:
            try:
                connection, _ = server.accept()
                with connection, context.wrap_socket(connection, server_side=True):
                    pass
            except OSError:
                return  # The client hangs up during the handshake: that is the point.

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"https://localhost:{server.getsockname()[1]}/"
        thread.join(10)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Target("ftp://example.com", {}, None, 1.0), "http://"),
        (Target("http://127.0.0.1:1/", {}, "whsec_***", 1.0), "not base64"),
        (Target("http://2130706433/", {}, None, 1.0), "valid URL"),
    ],
)
async def test_what_cannot_be_sent_says_so(target: Target, words: str) -> None:
    outcome = await _post(target)
    assert outcome.final == "not_configured"
    assert words in (outcome.error or "")


async def test_a_header_cannot_smuggle_another_in() -> None:
    async with receiving() as receiver:
        outcome = await _post(_target(receiver.url, **{"X-A": "a\r\nX-B: b"}))
        assert receiver.requests == []
    assert outcome.final == "not_configured"
    assert "header" in (outcome.error or "")


def test_a_target_does_not_show_its_secrets() -> None:
    assert "secret" not in repr(_target("https://hooks.example.com/secret"))
