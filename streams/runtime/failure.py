"""What to do about an exception is data (design section 9).

RETRY: the world is in the way (broker away, database restarting): back off and do the batch again.
DEAD_LETTER: this record can never work; put it away with its story and go on.
STOP: our own bug, or the log is not the one we knew: end the process without committing.
"""

from enum import Enum

import psycopg
from aiokafka import errors as kafka

from schemas.errors import DecodeError


class Disposition(Enum):
    """What happens to the batch an exception came out of."""

    RETRY = "retry"
    DEAD_LETTER = "dead-letter"
    STOP = "stop"


class LogMismatchError(RuntimeError):
    """The topic or the database is not the one this system wrote: going on would lose or double results."""


class PositionLostError(RuntimeError):
    """Another worker moved this station's position: the partition is no longer ours. The batch is dropped
    (its transaction rolled back) and read again by whoever owns it."""


# Broken by size, content or permissions: another attempt with the same record gives the same answer.
_FATAL_KAFKA = (
    kafka.TopicAuthorizationFailedError,
    kafka.GroupAuthorizationFailedError,
    kafka.ClusterAuthorizationFailedError,
    kafka.UnsupportedVersionError,
    kafka.MessageSizeTooLargeError,
    kafka.RecordListTooLargeError,
    # After a refused record an idempotent producer's numbering is out of step for good: only a new one helps.
    kafka.OutOfOrderSequenceNumber,
    kafka.InvalidTopicError,
)


def classify(error: BaseException) -> Disposition:
    """The disposition of an exception out of a station's batch."""
    if isinstance(error, DecodeError):
        return Disposition.DEAD_LETTER
    if isinstance(error, PositionLostError):
        return Disposition.RETRY
    if isinstance(error, _FATAL_KAFKA):
        return Disposition.STOP
    if isinstance(error, kafka.KafkaError):
        return Disposition.RETRY
    if isinstance(error, psycopg.errors.SerializationFailure | psycopg.errors.DeadlockDetected):
        return Disposition.RETRY
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return Disposition.RETRY
    if isinstance(error, TimeoutError | ConnectionError):
        return Disposition.RETRY
    return Disposition.STOP
