"""What an attempt's outcome means."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.notify.retry import (
    JITTER,
    MAX_AGE,
    MAX_ATTEMPTS,
    SCHEDULE_SECONDS,
    Outcome,
    delay_seconds,
    judge,
    retry_after_seconds,
)

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_is_delivered(status: int) -> None:
    verdict = judge(Outcome(status), "id", 3, AT, AT)
    assert (verdict.status, verdict.error, verdict.next_attempt_at) == ("delivered", None, None)


@pytest.mark.parametrize("status", [300, 301, 302, 304, 307, 308, 400, 401, 403, 404, 405, 409, 410, 422, 499])
def test_3xx_and_4xx_are_final(status: int) -> None:
    verdict = judge(Outcome(status, retry_after="5"), "id", 1, AT, AT)
    assert verdict.status == "failed"
    assert verdict.next_attempt_at is None
    assert str(status) in (verdict.error or "")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, None])
def test_the_rest_is_tried_again(status: int | None) -> None:
    verdict = judge(Outcome(status, error="connection refused"), "id", 1, AT, AT)
    assert verdict.status == "deferred"
    assert verdict.next_attempt_at is not None
    delay = (verdict.next_attempt_at - AT).total_seconds()
    assert SCHEDULE_SECONDS[0] * (1 - JITTER) <= delay <= SCHEDULE_SECONDS[0] * (1 + JITTER)


def test_errors_in_words() -> None:
    assert judge(Outcome(302), "id", 1, AT, AT).error == (
        "HTTP 302: redirects are not followed; configure the final address"
    )
    assert judge(Outcome(410), "id", 1, AT, AT).error == "HTTP 410: the endpoint says it is gone"
    assert judge(Outcome(error="connection refused"), "id", 1, AT, AT).error == "connection refused"


@pytest.mark.parametrize("final", ["failed", "not_configured"])
def test_what_can_never_work_is_not_tried_again(final: str) -> None:
    verdict = judge(Outcome(error="127.0.0.1 is a loopback address", final=final), "id", 1, AT, AT)  # type: ignore[arg-type]
    assert (verdict.status, verdict.error) == (final, "127.0.0.1 is a loopback address")


def test_the_schedule_ends() -> None:
    now, attempt, waits = AT, 1, []
    while (verdict := judge(Outcome(503), "id", attempt, AT, now)).status == "deferred":
        assert verdict.next_attempt_at is not None
        waits.append((verdict.next_attempt_at - now).total_seconds())
        now, attempt = verdict.next_attempt_at, attempt + 1
    assert attempt == MAX_ATTEMPTS == len(waits) + 1
    assert waits == sorted(waits)
    assert now - AT < MAX_AGE
    assert verdict.error == f"HTTP 503; gave up after {MAX_ATTEMPTS} attempts"


def test_age_ends_it_too() -> None:
    verdict = judge(Outcome(503), "id", 1, AT, AT + MAX_AGE)
    assert verdict.status == "failed"
    assert "gave up" in (verdict.error or "")


@given(st.text(), st.integers(1, MAX_ATTEMPTS))
def test_jitter_is_derived_and_bounded(webhook_id: str, attempt: int) -> None:
    webhook_id = webhook_id.encode(errors="ignore").decode()
    base = SCHEDULE_SECONDS[min(attempt, len(SCHEDULE_SECONDS)) - 1]
    delay = delay_seconds(webhook_id, attempt)
    assert delay == delay_seconds(webhook_id, attempt)
    assert base * (1 - JITTER) <= delay <= base * (1 + JITTER)


def test_jitter_spreads() -> None:
    delays = sorted(delay_seconds(f"exec_{number}_0", 1) for number in range(1_000))
    assert delays[0] < SCHEDULE_SECONDS[0] * 0.82
    assert delays[-1] > SCHEDULE_SECONDS[0] * 1.18


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("0", 0.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("²", None),
        ("9" * 400, MAX_AGE.total_seconds() + 1),
        (format_datetime(AT + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(AT - timedelta(seconds=90), usegmt=True), 0.0),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, AT) == seconds


def test_retry_after_delays_but_never_hastens() -> None:
    later = judge(Outcome(429, retry_after="3600"), "id", 1, AT, AT)
    assert later.next_attempt_at == AT + timedelta(seconds=3_600)
    sooner = judge(Outcome(429, retry_after="0"), "id", 1, AT, AT)
    assert sooner.next_attempt_at == AT + timedelta(seconds=delay_seconds("id", 1))
    never = judge(Outcome(429, retry_after="999999999"), "id", 1, AT, AT)
    assert never.status == "failed"
