"""Records that could not be read: looked at, and sent again as they were."""

import pytest

from schemas.events.dead_letter import DeadLetter
from schemas.topics import DEAD_LETTERS, DOCUMENTS
from streams.cli.dead_letters import read_letters
from streams.cli.process import CommandError
from streams.runtime.agent import Context
from streams.runtime.broker import Sends
from tests.cli.processes import environment, tidewatch
from tests.isolation import NOW
from tests.log import read_topic

OWN = ("x-producer", b"desk")


async def put(context: Context, key: bytes, value: bytes, topic: str, *more: tuple[str, bytes]) -> str:
    """A dead letter; returns its place."""
    letter = DeadLetter(topic, 2, 7, NOW, "collect", "DecodeError", f"{key.decode()} is not JSON [1, 2")
    producer = context.broker.producer()
    await producer.start()
    try:
        sends = Sends(producer)
        headers = [*letter.headers((OWN,)), *more]
        await sends.send(context.broker.topic(DEAD_LETTERS), key, value, headers)
        (record,) = await sends.acknowledged()
    finally:
        await producer.stop()
    return f"{record.partition}:{record.offset}"


async def test_dead_letters_are_listed_and_sent_again(context: Context) -> None:
    variables = environment(context.settings, COLUMNS="250")
    empty = tidewatch("dead-letters", "list", variables=variables)
    assert empty.returncode == 0, empty.stderr
    documents = context.broker.topic(DOCUMENTS)
    one = await put(context, b"ns_1/col_1/doc_1", b"{broken", documents)
    other = await put(context, b"ns_1/col_1/doc_2", b"\xff\x00", DOCUMENTS.name)
    cut = await put(context, b"ns_1/col_1/doc_3", b"{", documents, ("x-dead-cut", b"true"))
    nowhere = await put(context, b"k", b"v", "somewhere-else")

    listed = tidewatch("dead-letters", "list", variables=variables)
    assert listed.returncode == 0, listed.stderr
    text = listed.stdout.decode()
    for words in (
        one,
        other,
        "collect",
        "documents 2:7",
        "ns_1/col_1/doc_2",
        "DecodeError: ns_1/col_1/doc_1 is not JSON [1, 2",
    ):
        assert words in text
    letters = {letter.place: letter for letter in await read_letters(context.broker)}
    assert set(letters) == {one, other, cut, nowhere}
    for wrong, why in ((cut, "was cut"), (nowhere, "no topic of this stream")):
        with pytest.raises(CommandError, match=why):
            letters[wrong].destination(context.broker)
    refused = tidewatch("dead-letters", "replay", one, "9:9", variables=variables)
    assert (refused.returncode, b"no dead letter at 9:9" in refused.stderr) == (1, True)
    assert await read_topic(context, DOCUMENTS) == []
    sent = tidewatch("dead-letters", "replay", one, other, one, variables=variables)
    assert sent.returncode == 0, sent.stderr
    records = {record.key: record for record in await read_topic(context, DOCUMENTS)}
    assert {key: record.value for key, record in records.items()} == {
        b"ns_1/col_1/doc_1": b"{broken",
        b"ns_1/col_1/doc_2": b"\xff\x00",
    }
    assert all(tuple(record.headers) == (OWN,) for record in records.values())
