"""The HTTP side: one POST, bounded in time and size, to nowhere it must not go.

No redirect is followed, no proxy of the environment used, no cookie kept, TLS verified. Connections are not
kept for later: an idle one that the far end has closed would cost an attempt.
"""

import errno
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Final, Self

import aiohttp
from aiohttp.abc import AbstractCookieJar

from streams.notify.channels import NotConfiguredError, check_url
from streams.notify.egress import refusal
from streams.notify.retry import Outcome
from streams.notify.signing import BadSecretError, signed_headers

READ_BYTES: Final = 16 * 1024
"""How much of an answer is read; nobody looks at it."""
_REFUSED_ERRNO: Final = 7_431
"""No system call gives this: it marks our own refusal, also where several addresses' errors are joined."""
_AGENT: Final = "Tidewatch-Webhook/1"
_HINT: Final = "; webhooks may not go there (TIDEWATCH_ALLOW_PRIVATE_WEBHOOKS=true allows it)"


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint with its secrets in the clear. Lives for one attempt and is never logged."""

    url: str
    headers: Mapping[str, str]
    signing_secret: str | None
    timeout_seconds: float

    def __repr__(self) -> str:
        return "Target(…)"


class Webhooks:
    """Posts. ``async with Webhooks(allow_private=…) as webhooks``."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            limit=0,  # The sender bounds what is in flight, by host.
            force_close=True,
            socket_factory=None if self._allow_private else _checked_socket,
        )
        jar: AbstractCookieJar = aiohttp.DummyCookieJar()
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=jar, trust_env=False, auto_decompress=False
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def post(self, target: Target, webhook_id: str, body: bytes, at: datetime) -> Outcome:
        """One attempt. Everything the far end or the network does is an outcome, not an exception."""
        try:
            check_url(target.url)
            headers = {
                "content-type": "application/json",
                "user-agent": _AGENT,
                **{name.lower(): value for name, value in target.headers.items()},
                **signed_headers(webhook_id, at, body, target.signing_secret),
            }
        except (NotConfiguredError, BadSecretError) as error:
            return Outcome(error=str(error), final="not_configured")
        try:
            async with self._session.post(
                target.url,
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=target.timeout_seconds),
            ) as response:
                await response.content.read(READ_BYTES)
                return Outcome(response.status, retry_after=response.headers.get("retry-after"))
        except TimeoutError:
            return Outcome(error=f"no answer within {target.timeout_seconds:g} s")
        except aiohttp.ClientConnectorCertificateError as error:
            why = getattr(error.certificate_error, "verify_message", None) or "it does not verify"
            return Outcome(error=f"the TLS certificate is refused: {why}")
        except aiohttp.ClientConnectorError as error:
            return _not_connected(error.os_error)
        except aiohttp.InvalidURL:
            return Outcome(error="the address is not a valid URL", final="not_configured")
        except aiohttp.ClientError as error:
            return Outcome(error=_broken(error))
        except ValueError as error:
            # aiohttp refuses a header with a line break in it, or one that is not a header name.
            kind = type(error).__name__
            return Outcome(error=f"a configured header cannot be sent ({kind})", final="not_configured")


def _checked_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """A socket for ``address``, which is where it is about to connect."""
    family, kind, protocol, _, where = address
    if (why := refusal(str(where[0]))) is not None:
        raise OSError(_REFUSED_ERRNO, why)
    return socket.socket(family, kind, protocol)


def _broken(error: aiohttp.ClientError) -> str:
    """What went wrong, without the error's own text: it may quote the URL, which can be a secret."""
    if isinstance(error, aiohttp.ClientResponseError):
        return f"the answer is not HTTP ({type(error).__name__})"
    return f"no complete answer ({type(error).__name__})"


def _not_connected(error: OSError) -> Outcome:
    if error.errno == _REFUSED_ERRNO:
        # Several addresses of one name come joined as "Multiple exceptions: [Errno …] …, [Errno …] …".
        why = (
            (error.strerror or "").removeprefix("Multiple exceptions: ").replace(f"[Errno {_REFUSED_ERRNO}] ", "")
        )
        return Outcome(error=why + _HINT, final="failed")
    if isinstance(error, socket.gaierror):
        return Outcome(error=f"the host name does not resolve: {error.strerror}")
    if error.errno == errno.ECONNREFUSED:
        return Outcome(error="connection refused")
    return Outcome(error=f"not connected: {error.strerror or error}")
