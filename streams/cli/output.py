"""What commands write: files that appear whole or not at all, standard output that may be closed."""

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Final

import typer

from streams.cli.process import CommandError, fail

Put = Callable[[bytes], None]
INTERRUPTED: Final = 130
"""As shells tell of a command that was interrupted."""


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Put]:
    """A file to write: beside ``path`` until all is well, then in its place. A failure leaves what was there.

    What is no regular file (a device, a pipe) is written as it is. Raises ``OSError`` that names the file.
    """
    if path.exists() and not path.is_file():
        with _named(str(path)), path.open("wb") as file:
            yield writer(file, str(path))
            file.flush()
        return
    final = path.resolve()
    beside = final.with_name(f".{final.name}.{os.getpid()}.part")
    try:
        with _named(str(path)), beside.open("xb") as file:
            if final.exists():
                shutil.copymode(final, beside)
            yield writer(file, str(path))
        beside.replace(final)
    finally:
        beside.unlink(missing_ok=True)


def writer(file: IO[bytes], name: str) -> Put:
    """Writes to a file; its ``OSError`` names it."""

    def put(data: bytes) -> None:
        with _named(name):
            file.write(data)

    return put


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.strerror is None or isinstance(error, BrokenPipeError):
            raise
        raise OSError(error.errno, error.strerror, name) from error


def standard_output() -> Put:
    """Writes to standard output and flushes. Raises :class:`CommandError` when it is closed."""
    if sys.stdout is None:
        raise CommandError("standard output is closed")
    file = sys.stdout.buffer

    def put(data: bytes) -> None:
        with _named("standard output"):
            file.write(data)
            file.flush()

    return put


def give_up_output() -> None:
    """After a failure: what standard output does not take must not be tried again at exit, which would fail."""
    if sys.stdout is not None:
        try:
            sys.stdout.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def refuse_overwriting(outputs: Iterable[Path | None], inputs: Iterable[Path | int]) -> None:
    """Raise :class:`CommandError` when an output is a file that is read (given by path or descriptor), or another
    output."""
    read = [os.stat(item) for item in inputs]
    seen: set[Path] = set()
    for path in outputs:
        if path is None:
            continue
        if path.resolve() in seen:
            raise CommandError(f"{path}: this file would be written twice; name another")
        seen.add(path.resolve())
        if path.is_file() and any(os.path.samestat(path.stat(), item) for item in read):
            raise CommandError(f"{path}: this file is read, and would be overwritten; name another")


@contextlib.contextmanager
def told_failures() -> Iterator[None]:
    """What ends a command that writes to standard output: 130 when it is interrupted, 1 without a word when its
    reader has seen enough, 1 with the words of anything else."""
    try:
        yield
    except KeyboardInterrupt:
        give_up_output()
        fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        give_up_output()
        raise typer.Exit(1) from None
    except (CommandError, OSError) as error:
        give_up_output()
        fail(str(error))
