"""Manifest files: YAML of several documents, JSON, JSON lines; files, folders, standard input."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import yaml

from schemas.manifest import ManifestError, ManifestObject, Place

SUFFIXES = (".yaml", ".yml", ".json", ".jsonl", ".ndjson")


class _Loader(yaml.SafeLoader):
    """YAML with the types of JSON: a date stays the text it is, a key twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is there twice", node.value[number][0].start_mark
                )
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_manifest(paths: Sequence[str | Path]) -> list[ManifestObject]:
    """The objects of every path, in order; ``-`` is standard input, a folder all its manifest files by name.
    Raises :class:`ManifestError` and ``OSError``."""
    objects: list[ManifestObject] = []
    for path in paths:
        if str(path) == "-":
            objects.extend(parse_manifest(sys.stdin.read(), "standard input"))
            continue
        for file in _files(Path(path)):
            objects.extend(parse_manifest(file.read_text(), str(file)))
    return objects


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
    if not found:
        raise FileNotFoundError(f"{path} holds no manifest ({', '.join(SUFFIXES)})")
    return found


def parse_manifest(text: str, file: str) -> list[ManifestObject]:
    """The objects of one text, each with its place. A document that is a list stands for its items."""
    entries = _json(text, file) if _is_json(text, file) else _yaml(text, file)
    objects: list[ManifestObject] = []
    for line, content in entries:
        for item in content if isinstance(content, list) else [content]:
            objects.append(ManifestObject(Place(file, len(objects) + 1, line), item))
    return objects


def _is_json(text: str, file: str) -> bool:
    return file.endswith((".json", ".jsonl", ".ndjson")) or text.lstrip()[:1] in ("{", "[")


def _json(text: str, file: str) -> Iterator[tuple[int, Any]]:
    try:
        yield 1, orjson.loads(text)
        return
    except orjson.JSONDecodeError:
        pass  # not one value: one a line
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield number, orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise ManifestError(Place(file, number, number), f"not JSON: {error}") from error


def _yaml(text: str, file: str) -> Iterator[tuple[int, Any]]:
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
