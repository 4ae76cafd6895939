"""Manifest files: YAML of several documents, JSON, JSON lines, gzipped or not; files, folders, standard input."""

import codecs
import gzip
import io
import itertools
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

import orjson
import yaml

from schemas.manifest import ManifestError, ManifestObject, Place
from schemas.strict_json import repeated_key

try:
    # Several times faster; in every wheel of PyYAML, but not in every build.
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]

_JSON = (".json", ".jsonl", ".ndjson")
MAX_ALIASED: Final = 1_000_000
"""Values of one YAML document that has aliases."""
SUFFIXES = (".yaml", ".yml", *_JSON)


class _Loader(SafeLoader):
    """YAML with the types of JSON: a date stays the text it is; a key that is no text, or twice, is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for number, key in enumerate(keys):
            if type(key) is not str:
                written = node.value[number][0]
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {written.value} is not text; write it in quotes", written.start_mark
                )
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
            if sys.stdin is None:
                raise OSError("standard input is closed")
            yield from _objects(sys.stdin.buffer, "standard input")
            continue
        for file in files_of(Path(path)):
            with file.open("rb") as stream:
                if file.suffix != ".gz":
                    yield from _objects(stream, str(file))
                    continue
                try:
                    with gzip.open(stream) as archive, io.BufferedReader(archive, 1 << 20) as unpacked:
                        yield from _objects(unpacked, str(file))
                except EOFError as error:
                    raise OSError(f"{file}: the archive is cut short") from error
                except (gzip.BadGzipFile, zlib.error) as error:
                    raise OSError(f"{file}: {error}") from error


def files_of(path: Path) -> list[Path]:
    """The file, or the manifest files of a folder by name. Raises ``FileNotFoundError`` for a folder without."""
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
    for number, first in enumerate(stream):
        first = first.removeprefix(codecs.BOM_UTF8) if not number else first
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
            whole = orjson.loads(text)
        except orjson.JSONDecodeError:
            lines = text.split(b"\n")
        else:
            _refuse_repeated(text, whole, Place(file, 1, 1))
            yield 1, whole
            return
    for number, line in enumerate(lines, before + 1):
        if line.strip():
            place = Place(file, number, number)
            try:
                content = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise ManifestError(place, f"not JSON: {error}") from error
            _refuse_repeated(line, content, place)
            yield number, content


def _refuse_repeated(text: bytes, content: Any, place: Place) -> None:
    key = repeated_key(text, content)
    if key is not None:
        raise ManifestError(place, f"the key {key!r} is there twice")


def _written_out(root: yaml.Node) -> None:
    """Raise for YAML that contains itself by an alias, or has too many values once every alias is written out."""
    sizes: dict[yaml.Node, int | None] = {}

    def size(node: yaml.Node) -> int:
        if node in sizes:
            known = sizes[node]
            if known is None:
                raise yaml.constructor.ConstructorError(None, None, "an alias contains itself", node.start_mark)
            return known
        sizes[node] = None
        found = 1
        if isinstance(node, yaml.MappingNode):
            found += sum(size(key) + size(value) for key, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            found += sum(map(size, node.value))
        if found > MAX_ALIASED:
            problem = f"it has more than {MAX_ALIASED:,} values once its aliases are written out"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        sizes[node] = found
        return found

    size(root)


def _yaml(text: bytes, file: str) -> Iterator[tuple[int, Any]]:
    loader = _Loader(text)
    number = 0
    try:
        while loader.check_node():
            number += 1
            node = loader.get_node()
            assert node is not None
            if b"&" in text and b"*" in text:
                _written_out(node)
            content = loader.construct_document(node)
            if content is not None:
                yield node.start_mark.line + 1, content
    except RecursionError as error:
        raise ManifestError(Place(file, max(number, 1)), "not YAML: nested too deep") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = None if mark is None else mark.line + 1
        raise ManifestError(Place(file, max(number, 1), line), f"not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ManifestError(Place(file, max(number, 1)), f"not YAML: {error}") from error
    finally:
        loader.dispose()
