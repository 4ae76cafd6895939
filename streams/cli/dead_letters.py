"""``tidewatch dead-letters``: look at records that no station could work with, and send them again.

They are of any namespace, or of none that can be read, so they are for operators: whoever reaches the broker. No
endpoint serves them.
"""

from dataclasses import dataclass
from typing import Annotated, Final

import typer
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas.headers import SourcePosition, header
from schemas.topics import DEAD_LETTERS, TOPICS
from streams.cli.process import CommandError, load_settings, run
from streams.runtime.broker import Broker, HeaderList, Sends, end_offsets

dead_letters = typer.Typer(help="List records that were put away, or send them again.", no_args_is_help=True)
_OURS: Final = "x-dead-"
_CUT: Final = ("x-dead-truncated", "x-dead-cut")


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter and where it lies."""

    record: ConsumerRecord

    @property
    def place(self) -> str:
        """``partition:offset`` in the topic of dead letters."""
        return f"{self.record.partition}:{self.record.offset}"

    def told(self, name: str) -> str:
        """One of the facts in its headers."""
        return header(self.record.headers, f"{_OURS}{name}") or ""

    def original_headers(self) -> HeaderList:
        """The headers the record had."""
        return [(name, value) for name, value in self.record.headers if not name.startswith(_OURS)]

    def destination(self, broker: Broker) -> str:
        """The topic to send it to again. Raises :class:`CommandError` where that cannot work."""
        if any((header(self.record.headers, name) or "false") != "false" for name in _CUT):
            raise CommandError(f"{self.place} was cut to fit: what is left is not the record")
        for topic in TOPICS:
            if self.told("topic") in (topic.name, broker.topic(topic)) and topic is not DEAD_LETTERS:
                return broker.topic(topic)
        raise CommandError(f"{self.place} is from {self.told('topic')!r}, which is no topic of this stream")


@dead_letters.command("list")
def list_letters(
    stage: Annotated[str | None, typer.Option(help="Only those of one station.", show_default="all")] = None,
    last: Annotated[int, typer.Option(help="At most so many, the newest.", min=1)] = 50,
) -> None:
    """List dead letters, oldest first: where each lies, where it is from, and why it was put away."""
    settings = load_settings()

    async def main() -> None:
        found = [one for one in await read_letters(Broker(settings)) if stage in (None, one.told("stage"))]
        table = Table(box=None, header_style="bold")
        for heading in ("place", "put away", "stage", "from", "key", "error"):
            table.add_column(heading)
        for one in sorted(found, key=lambda one: one.record.timestamp)[-last:]:
            table.add_row(
                f"[cyan]{one.place}[/]",
                escape(one.told("timestamp")),
                escape(one.told("stage")),
                escape(f"{one.told('topic')} {one.told('partition')}:{one.told('offset')}"),
                escape((one.record.key or b"").decode(errors="replace")[:80]),
                escape(f"{one.told('error-type')}: {one.told('message')}"[:200]),
            )
        Console(soft_wrap=True).print(table)

    run(main(), settings)


@dead_letters.command()
def replay(
    places: Annotated[list[str], typer.Argument(help="Places of dead letters, as `list` shows them.")],
) -> None:
    """Send dead letters to the topics they are from again, with the bytes and headers they had. Every station that
    reads the topic reads them anew; a document with an event id that was seen is counted once."""
    settings = load_settings()

    async def main() -> None:
        broker = Broker(settings)
        wanted = list(dict.fromkeys(places))
        found = {one.place: one for one in await read_letters(broker)}
        if missing := [place for place in wanted if place not in found]:
            raise CommandError(f"there is no dead letter at {', '.join(missing)}")
        chosen = [(found[place].destination(broker), found[place]) for place in wanted]
        producer = broker.producer()
        await producer.start()
        try:
            sends = Sends(producer)
            for topic, one in chosen:
                await sends.send(topic, one.record.key, one.record.value, one.original_headers())
            sent = await sends.acknowledged()
        finally:
            await producer.stop()
        for (_, one), record in zip(chosen, sent, strict=True):
            where = SourcePosition(record.partition, record.offset)
            Console(highlight=False, soft_wrap=True).print(
                f"[green]sent[/] {one.place} to {escape(record.topic)} {where}"
            )

    run(main(), settings)


async def read_letters(broker: Broker) -> list[Letter]:
    """Every dead letter up to the present end of the topic."""
    name = broker.topic(DEAD_LETTERS)
    consumer: AIOKafkaConsumer = broker.consumer()
    await consumer.start()
    try:
        ends = {TopicPartition(name, number): end for number, end in (await end_offsets(consumer, name)).items()}
        left = [tp for tp, end in ends.items() if end > 0]
        letters: list[Letter] = []
        if left:
            consumer.assign(left)
            await consumer.seek_to_beginning(*left)
        while left:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                letters.extend(Letter(record) for record in records)
            # Tansu names an end within the last batch when it is asked; what it names in a fetch is right.
            left = [tp for tp in left if await consumer.position(tp) < max(ends[tp], consumer.highwater(tp) or 0)]
        return letters
    finally:
        await consumer.stop()
