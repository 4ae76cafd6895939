"""Outbox rows and the dead letters of those that cannot be published."""

import hashlib
from datetime import UTC, datetime

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from schemas.topics import TOPICS, TRIGGER_RESULTS
from streams.relay.rows import UnknownTopicError, dead_letter, outbox_row

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_of_the_table_is_known(topic: object) -> None:
    name = topic.name  # type: ignore[attr-defined]
    assert outbox_row(1, name, b"k", b"v", [], AT).topic is topic


def test_headers_travel_as_pairs_in_order() -> None:
    row = outbox_row(1, TRIGGER_RESULTS.name, b"k", b"v", [["b", "ü"], ["a", "2"], ["b", "3"]], AT)
    assert row.headers == [("b", "ü".encode()), ("a", b"2"), ("b", b"3")]


def test_a_topic_of_a_newer_version_stops() -> None:
    with pytest.raises(UnknownTopicError, match="moon-phases"):
        outbox_row(7, "moon-phases", b"k", b"v", [], AT)


@pytest.mark.parametrize(("kept", "cut"), [(100, b"x" * 100), (1_000, b"x" * 300), (0, b"")])
def test_a_dead_letter_keeps_a_part_and_tells_the_whole(kept: int, cut: bytes) -> None:
    value = b"x" * 300
    row = outbox_row(7, TRIGGER_RESULTS.name, b"k", value, [["x-own", "1"]], AT)
    body, headers = dead_letter(row, MessageSizeTooLargeError("300 bytes"), kept)
    facts = dict(headers)
    assert body == cut
    assert headers[0] == ("x-own", b"1")
    assert facts["x-dead-topic"] == TRIGGER_RESULTS.name.encode()
    assert (facts["x-dead-partition"], facts["x-dead-offset"]) == (b"-1", b"7")
    assert facts["x-dead-error-type"] == b"MessageSizeTooLargeError"
    assert facts["x-dead-size"] == b"300"
    assert facts["x-dead-sha256"] == hashlib.sha256(value).hexdigest().encode()
    assert facts["x-dead-cut"] == (b"false" if cut == value else b"true")
