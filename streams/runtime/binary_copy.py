"""Fields of PostgreSQL's binary COPY, and the statements that take them.

Written by hand, because a client that looks up how to write each value of each row takes longer over it than the
server takes to store it. Format: PostgreSQL documentation, "COPY", binary format. A row is :func:`row` of its
number of fields, then the fields: each its length in bytes and its value.
"""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from psycopg import pq
from psycopg.adapt import Dumper, PyFormat

from streams.runtime.database import Connection

BEGIN: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
END: Final = b"\xff\xff"
NULL: Final = b"\xff\xff\xff\xff"
TRUE: Final = b"\x00\x00\x00\x01\x01"
FALSE: Final = b"\x00\x00\x00\x01\x00"

length: Final = struct.Struct("!i").pack
row: Final = struct.Struct("!h").pack
_int4: Final = struct.Struct("!ii").pack
_int8: Final = struct.Struct("!iq").pack
_float8: Final = struct.Struct("!id").pack
_array: Final = struct.Struct("!iiiii").pack
_length_at: Final = struct.Struct("!i").unpack_from
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_FIRST_DAY: Final = _EPOCH.toordinal()
_MICROSECOND: Final = timedelta(microseconds=1)


def text(value: str) -> bytes:
    """A ``text``. Raises ``UnicodeEncodeError`` for a lone surrogate."""
    return data(value.encode())


def data(value: bytes) -> bytes:
    """A ``bytea``, or a ``text`` or ``json`` in UTF-8."""
    return length(len(value)) + value


def int4(value: int) -> bytes:
    """An ``int``."""
    return _int4(4, value)


def int8(value: int) -> bytes:
    """A ``bigint``."""
    return _int8(8, value)


def float8(value: float) -> bytes:
    """A ``double precision``."""
    return _float8(8, value)


def day(value: date) -> bytes:
    """A ``date``."""
    return _int4(4, value.toordinal() - _FIRST_DAY)


def microseconds(moment: datetime) -> int:
    """The value of a ``timestamptz``."""
    return (moment - _EPOCH) // _MICROSECOND


def instant(moment: datetime) -> bytes:
    """A ``timestamptz``."""
    return _int8(8, microseconds(moment))


_FIELDS: Final[Mapping[str, Callable[[Any], bytes]]] = {
    "bytea": data,
    "int4": int4,
    "int8": int8,
    "json": text,
    "text": text,
    "timestamptz": instant,
}


async def copy_rows(connection: Connection, table: str, columns: str, parts: Iterable[bytes]) -> None:
    """Copy rows into a table. ``parts`` joined are whole rows, without :data:`BEGIN` and :data:`END`."""
    async with connection.cursor().copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)".encode()) as copy:
        await copy.write(b"".join((BEGIN, *parts, END)))


async def staging(connection: Connection, table: str) -> str:
    """The name of a table like this one that is empty in every transaction: made once per connection, after that a
    look-up in the catalog."""
    name = f"incoming_{table}"
    await connection.execute(
        f"CREATE TEMP TABLE IF NOT EXISTS {name} (LIKE {table}) ON COMMIT DELETE ROWS".encode()
    )
    return name


@dataclass(frozen=True, slots=True)
class Column:
    """The fields of one column of several rows, as a parameter: an array of the column's type. Where there are few
    rows that is a statement like any other, and needs no round trips of its own as COPY does."""

    oid: int
    """Of the array's type."""
    data: bytes


class _ColumnDumper(Dumper):
    format = pq.Format.BINARY

    def get_key(self, obj: Any, format: PyFormat) -> Any:  # noqa: A002
        return (self.cls, obj.oid)

    def upgrade(self, obj: Any, format: PyFormat) -> "_ColumnDumper":  # noqa: A002
        dumper = _ColumnDumper(self.cls)
        dumper.oid = obj.oid
        return dumper

    def dump(self, obj: Any) -> bytes:
        assert isinstance(obj, Column)
        return obj.data


def columns_of(connection: Connection, rows: bytes, types: str) -> list[Column]:
    """Whole rows, without :data:`BEGIN` and :data:`END`, as one parameter per column; ``types`` names those of the
    columns, by spaces."""
    fields: list[list[bytes]] = [[] for _ in types.split()]
    at, end = 0, len(rows)
    while at < end:
        at += 2
        for column in fields:
            following = at + 4 + max(0, _length_at(rows, at)[0])
            column.append(rows[at:following])
            at = following
    return arrays(connection, [b"".join(column) for column in fields], len(fields[0]), types)


def arrays(connection: Connection, columns: Sequence[bytes], rows: int, types: str) -> list[Column]:
    """One parameter per column of so many rows, from their fields one behind the other. Elements of an array have
    the form that fields have in COPY: PostgreSQL, src/backend/utils/adt/arrayfuncs.c, array_recv."""
    connection.adapters.register_dumper(Column, _ColumnDumper)
    infos = [connection.adapters.types[name] for name in types.split()]
    # Whether there are nulls, which is said first, is found out again from the elements.
    return [
        Column(info.array_oid, _array(1, 1, info.oid, rows, 1) + column)
        for info, column in zip(infos, columns, strict=True)
    ]


def columns_of_values(connection: Connection, rows: Sequence[Sequence[Any]], types: str) -> list[Column]:
    """Rows of values as one parameter per column. Of a list psycopg makes the least type that holds its values:
    statements that differ in nothing else would be prepared one by one."""
    columns = [
        b"".join([NULL if value is None else _FIELDS[name](value) for value in column])
        for name, column in zip(types.split(), zip(*rows, strict=True), strict=True)
    ]
    return arrays(connection, columns, len(rows), types)


def parameters(types: str) -> str:
    """SQL: the places of such columns."""
    return ", ".join(["%s"] * len(types.split()))
