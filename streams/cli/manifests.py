"""Manifest files: YAML of several documents, JSON, JSON lines, gzipped or not; files, folders, standard input."""

import gzip
import io
import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import orjson
import yaml

from schemas.manifest import ManifestError, ManifestObject, Place

try:
    # Several times faster; in every wheel of PyYAML, but not in every build.
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]

_JSON = (".json", ".jsonl", ".ndjson")
SUFFIXES = (".yaml", ".yml", *_JSON)


class _Loader(SafeLoader):
    """YAML with the types of JSON: a date stays the text it is, a key twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is there twice", node.value[number][0].start_mark
                )
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in SafeLoader.yaml_implicit_resolvers.items()
}


def read_manifest(paths: Sequence[str | Path]) -> list[ManifestObject]:
    """The objects of every path, in order; ``-`` is standard input, a folder all its manifest files by name.
    Raises :class:`ManifestError` and ``OSError``."""
    return list(iter_manifest(paths))


def iter_manifest(paths: Sequence[str | Path]) -> Iterator[ManifestObject]:
    """As :func:`read_manifest`, one object at a time: of JSON lines no more than a line is held."""
    for path in paths:
        if str(path) == "-":
            yield from _objects(sys.stdin.buffer, "standard input")
            continue
        for file in _files(Path(path)):
            with file.open("rb") as stream:
                if file.suffix != ".gz":
                    yield from _objects(stream, str(file))
                    continue
                try:
                    with gzip.open(stream) as archive, io.BufferedReader(archive, 1 << 20) as unpacked:
                        yield from _objects(unpacked, str(file))
                except EOFError as error:
                    raise OSError(f"{file}: the archive is cut short") from error


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob("*") if _plain(file.name).endswith(SUFFIXES) and file.is_file())
    if not found:
        raise FileNotFoundError(f"{path} holds no manifest ({', '.join(SUFFIXES)})")
    return found


def _plain(file: str) -> str:
    return file.removesuffix(".gz")


def _objects(stream: IO[bytes], file: str) -> Iterator[ManifestObject]:
    """The objects of one text, each with its place. A document that is a list stands for its items."""
    before, first = 0, b""
    for first in stream:
        if first.strip():
            break
        before += 1
    json = _plain(file).endswith(_JSON) or first.lstrip()[:1] in (b"{", b"[")
    entries = _json(first, stream, before, file) if json else _yaml(b"\n" * before + first + stream.read(), file)
    number = 0
    for line, content in entries:
        for item in content if isinstance(content, list) else [content]:
            number += 1
            yield ManifestObject(Place(file, number, line), item)


def _json(first: bytes, rest: IO[bytes], before: int, file: str) -> Iterator[tuple[int, Any]]:
    """One value a line, or the whole text one value."""
    lines: Iterable[bytes] = itertools.chain([first], rest)
    try:
        orjson.loads(first)
    except orjson.JSONDecodeError:
        text = first + rest.read()
        try:
            yield 1, orjson.loads(text)
            return
        except orjson.JSONDecodeError:
            lines = text.split(b"\n")
    for number, line in enumerate(lines, before + 1):
        if line.strip():
            try:
                yield number, orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise ManifestError(Place(file, number, number), f"not JSON: {error}") from error


def _yaml(text: bytes, file: str) -> Iterator[tuple[int, Any]]:
    loader = _Loader(text)
    number = 0
    try:
        while loader.check_node():
            number += 1
            node = loader.get_node()
            assert node is not None
            content = loader.construct_document(node)
            if content is not None:
                yield node.start_mark.line + 1, content
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = None if mark is None else mark.line + 1
        raise ManifestError(Place(file, max(number, 1), line), f"not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ManifestError(Place(file, max(number, 1)), f"not YAML: {error}") from error
    finally:
        loader.dispose()
