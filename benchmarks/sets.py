"""Standing queries and documents as files that ``tidewatch check`` reads: real sets with known answers, and ours.

The real ones are made from a folder with these files (``--data DIR``), whose answers other engines gave:

- ``ruler/filters_{cve,tweets}.jsonl.gz`` and ``expected_{cve,tweets}_dev.jsonl.gz``: conjunctions of attribute
  tests, answers by AWS Event Ruler. Members that are null are removed, strings compare with case, ``ne`` asks the
  field to be there.
- ``text/queries.jsonl.gz``, ``expected_dev.jsonl.gz``, ``reuters.jsonl.gz``: words that are all present, and
  two-word phrases; answers by Lucene Monitor.
- ``sigma/filters.jsonl.gz``, ``filters_10k_extra.jsonl.gz``, ``events.jsonl.gz``, ``expected_dev.jsonl.gz``: Sigma
  rules over log events; answers by RSigma (for the rules of the first file).
- documents in ``data/`` within DIR or beside it: ``cve_2024``, ``healthtweets``, ``agnews`` (``.jsonl.gz``).

Without them, generated sets of the same kind have no known answers; those are compared with plain evaluation.
"""

import gzip
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

Json = dict[str, Any]
TEXTS: Final = ("reuters", "agnews", "tweets")


@dataclass(frozen=True, slots=True)
class Set:
    """Files for check, and what is known of the answers."""

    name: str
    definitions: Path
    documents: Path
    expected: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Document → every alert that matches it, for the documents whose answers are known."""
    known: frozenset[str] | None = None
    """The alerts the answers speak of; ``None`` for all."""


def find(data: Path, name: str) -> Path:
    """A file of the sets."""
    for path in (data / name, data / "bench" / name, data.parent / name):
        if path.is_file():
            return path
    raise SystemExit(f"{data} holds no {name}")


def rows(path: Path) -> Iterator[Json]:
    """The objects of a gzipped file of JSON lines."""
    with gzip.open(path) as lines:
        for line in lines:
            yield orjson.loads(line)


def write(path: Path, objects: Iterable[Json]) -> Path:
    """Write JSON lines."""
    with path.open("wb") as file:
        file.writelines(orjson.dumps(item) + b"\n" for item in objects)
    return path


def alert(name: str, conditions: Json) -> Json:
    """An alert that asks a filter."""
    return {"kind": "alert", "name": name, "filter": conditions}


def ruler(data: Path, which: str, folder: Path) -> Set:
    """Attribute alerts on ``cve`` records or ``tweets``."""
    source = {"cve": "data/cve_2024.jsonl.gz", "tweets": "data/healthtweets.jsonl.gz"}[which]

    def conditions(raw: Json) -> Iterator[Json]:
        for item in raw["AND"]:
            if item["operator"] == "ne":
                yield {"field": item["field"], "operator": "exists", "value": True}
            yield item

    filters = rows(find(data, f"ruler/filters_{which}.jsonl.gz"))
    alerts = (
        alert(str(row["id"]), {"case_sensitive": True, "AND": list(conditions(row["filter"]))}) for row in filters
    )
    documents = ({"document_id": str(row["id"]), **_filled(row)} for row in rows(find(data, source)))
    answers = rows(find(data, f"ruler/expected_{which}_dev.jsonl.gz"))
    return Set(
        f"ruler-{which}",
        write(folder / f"ruler_{which}.jsonl", alerts),
        write(folder / f"{which}.jsonl", documents),
        {str(row["id"]): frozenset(map(str, row["matches"])) for row in answers},
    )


def _filled(value: Any) -> Any:
    """A value without members that are null."""
    if isinstance(value, dict):
        return {key: _filled(item) for key, item in value.items() if item is not None}
    return [_filled(item) for item in value if item is not None] if isinstance(value, list) else value


def text(data: Path, corpus: str, folder: Path) -> Set:
    """Text alerts on one of :data:`TEXTS`."""
    places = {
        "reuters": ("text/reuters.jsonl.gz", ("title", "body")),
        "agnews": ("data/agnews.jsonl.gz", ("title", "text")),
        "tweets": ("data/healthtweets.jsonl.gz", ("text",)),
    }
    source, names = places[corpus]
    alerts = (
        words_alert(str(row["id"]), row["terms"], phrase=row["kind"] == "phrase")
        for row in rows(find(data, "text/queries.jsonl.gz"))
    )
    documents = (
        {"document_id": str(row["id"]), "text": " ".join(row[name] or "" for name in names)}
        for row in rows(find(data, source))
    )
    answers = (row for row in rows(find(data, "text/expected_dev.jsonl.gz")) if row["corpus"] == corpus)
    return Set(
        f"text-{corpus}",
        write(folder / "text.jsonl", alerts),
        write(folder / f"{corpus}.jsonl", documents),
        {row["id"]: frozenset(map(str, row["matches"])) for row in answers},
    )


def words_alert(name: str, terms: list[str], *, phrase: bool) -> Json:
    """An alert on a text with all of some words, or with them one after the other."""
    if phrase:
        return alert(name, {"field": "text", "operator": "phrase", "value": " ".join(terms)})
    leaves = [{"field": "text", "operator": "phrase", "value": term} for term in terms]
    return alert(name, {"AND": leaves})


def sigma(data: Path, folder: Path, *, extra: bool) -> Set:
    """Sigma rules on log events; with ``extra`` the altered copies as well. Line numbers name the events."""
    filters = list(rows(find(data, "sigma/filters.jsonl.gz")))
    known = frozenset(str(row["rule_no"]) for row in filters)
    if extra:
        filters += rows(find(data, "sigma/filters_10k_extra.jsonl.gz"))
    events = list(rows(find(data, "sigma/events.jsonl.gz")))
    lines = {row["id"]: str(number) for number, row in enumerate(events, 1)}
    answers = rows(find(data, "sigma/expected_dev.jsonl.gz"))
    return Set(
        f"sigma-{len(filters)}",
        write(folder / "sigma.jsonl", (alert(str(row["rule_no"]), row["filter"]) for row in filters)),
        write(folder / "events.jsonl", (row["event"] for row in events)),
        {lines[row["id"]]: frozenset(map(str, row["match"])) for row in answers},
        known,
    )
