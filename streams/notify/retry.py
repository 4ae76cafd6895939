"""What an attempt's outcome means: delivered, given up, or when to try again. Pure.

The schedule is that of Standard Webhooks in kind: soon, then ever rarer, for about two days. The jitter is
derived from the webhook id, so deciding again gives the same instant and a thousand deliveries that failed
together do not come back together.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final, Literal

SCHEDULE_SECONDS: Final = (5, 30, 120, 600, 1_800, 7_200, 21_600, 43_200, 86_400)
"""Delay after the first, second, … failed attempt."""
MAX_ATTEMPTS: Final = len(SCHEDULE_SECONDS) + 1
MAX_AGE: Final = timedelta(days=3)
"""No attempt later than this after the delivery was decided, whatever ``Retry-After`` asks for."""
JITTER: Final = 0.2
_RETRIED_4XX: Final = frozenset({408, 425, 429})

Status = Literal["delivered", "failed", "deferred", "not_configured"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt: an answer, or an error before there was one."""

    http_status: int | None = None
    error: str | None = None
    retry_after: str | None = None
    """The header as the endpoint sent it."""
    done: bool = False
    """Set when the channel is this system's own and has done it."""
    final: Literal["failed", "not_configured"] | None = None
    """Set when no attempt can ever work, e.g. a refused address."""

    @property
    def answered(self) -> bool:
        """Whether the far end lives."""
        return self.done or self.http_status is not None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to record about an attempt."""

    status: Status
    error: str | None = None
    next_attempt_at: datetime | None = None
    """Set exactly when ``status`` is ``deferred``."""


def judge(outcome: Outcome, webhook_id: str, attempt: int, created_at: datetime, now: datetime) -> Verdict:
    """The verdict on the ``attempt``-th attempt (from 1), which ended at ``now``.

    2xx is delivered. 3xx is final, as redirects are never followed. 4xx is final, except 408, 425 and 429; 410
    says that the endpoint is gone for good. Everything else (5xx, no answer) is tried again.
    """
    status = outcome.http_status
    if outcome.done or (status is not None and 200 <= status < 300):
        return Verdict("delivered")
    error = _worded(outcome)
    if outcome.final is not None:
        return Verdict(outcome.final, error)
    if status is not None and 300 <= status < 500 and status not in _RETRIED_4XX:
        return Verdict("failed", error)
    if attempt >= MAX_ATTEMPTS:
        return Verdict("failed", f"{error}; gave up after {attempt} attempts")
    delay = delay_seconds(webhook_id, attempt)
    asked = retry_after_seconds(outcome.retry_after, now)
    at = now + timedelta(seconds=max(delay, asked or 0.0))
    if at > created_at + MAX_AGE:
        return Verdict("failed", f"{error}; gave up: the next attempt would be over {MAX_AGE.days} days late")
    return Verdict("deferred", error, at)


def delay_seconds(webhook_id: str, attempt: int) -> float:
    """Seconds after the ``attempt``-th failure: the schedule's, give or take a fifth."""
    base = SCHEDULE_SECONDS[min(attempt, len(SCHEDULE_SECONDS)) - 1]
    digest = hashlib.blake2b(f"{webhook_id}\x00{attempt}".encode(), digest_size=8, person=b"tw-jitter").digest()
    unit = int.from_bytes(digest) / 2**64
    return base * (1 - JITTER + 2 * JITTER * unit)


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """Seconds that a ``Retry-After`` header asks for (RFC 9110: a number, or a date); ``None`` when it is
    absent or is neither. Never negative."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(min(int(text[:12]), int(MAX_AGE.total_seconds()) + 1))
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return max(0.0, (moment - now).total_seconds())


def _worded(outcome: Outcome) -> str:
    status = outcome.http_status
    if status is None:
        return outcome.error or "no answer"
    if status == 410:
        return "HTTP 410: the endpoint says it is gone"
    if 300 <= status < 400:
        return f"HTTP {status}: redirects are not followed; configure the final address"
    return f"HTTP {status}"
