"""How much one key may ask of one process: a token bucket, and how many requests and streams at once. Pure."""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from streams.settings import Settings

BUSY_SECONDS: Final = 1.0
"""When to come back where too many requests run at once: nobody knows, so soon."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``rate`` a second, ``burst`` at once after a rest; ``requests`` and ``streams`` at the same time."""

    rate: float
    burst: int
    requests: int
    streams: int

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """Those of the settings."""
        return cls(settings.rate_limit, settings.rate_burst, settings.key_requests, settings.key_streams)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused, and when to come again."""

    reason: str
    retry_after_seconds: float


@dataclass(slots=True)
class _Usage:
    tokens: float
    filled_at: float
    running: dict[bool, int] = field(default_factory=lambda: {False: 0, True: 0})
    """Streams and other requests in hand."""


class Usage:
    """What every key has used; time is given in seconds of any clock that never goes back."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._keys: defaultdict[str, _Usage] = defaultdict(lambda: _Usage(limits.burst, -math.inf))

    def enter(self, key_id: str, now: float, *, stream: bool) -> Refusal | None:
        """Take a request in, or say why not. One taken in must :meth:`leave`."""
        limits, used = self._limits, self._keys[key_id]
        most = limits.streams if stream else limits.requests
        if used.running[stream] >= most:
            what = "event streams" if stream else "requests"
            return Refusal(f"This key has {most} {what} running, as many as it may", BUSY_SECONDS)
        if limits.rate > 0:
            self._fill(used, now)
            if used.tokens < 1:
                wait = (1 - used.tokens) / limits.rate
                return Refusal(f"This key may send {limits.rate:g} requests a second", wait)
            used.tokens -= 1
        used.running[stream] += 1
        return None

    def leave(self, key_id: str, *, stream: bool) -> None:
        """A request taken in has ended."""
        self._keys[key_id].running[stream] -= 1

    def headers(self, key_id: str, now: float) -> dict[str, str]:
        """What the key has left, as draft-ietf-httpapi-ratelimit-headers writes it: ``q`` requests in ``w``
        seconds, ``r`` left, all back after ``t`` seconds."""
        limits, used = self._limits, self._keys[key_id]
        if limits.rate <= 0:
            return {}
        self._fill(used, now)
        window = math.ceil(limits.burst / limits.rate)
        full = math.ceil((limits.burst - used.tokens) / limits.rate)
        return {
            "RateLimit-Policy": f'"key";q={limits.burst};w={window}',
            "RateLimit": f'"key";r={math.floor(used.tokens)};t={full}',
        }

    def _fill(self, used: _Usage, now: float) -> None:
        passed = max(0.0, now - used.filled_at)
        used.tokens = min(float(self._limits.burst), used.tokens + passed * self._limits.rate)
        used.filled_at = max(now, used.filled_at)
