"""Sets of our own, of the kinds of the real ones (``sets.py``), from a seed: the same in every run."""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

from benchmarks.sets import Json, Set, alert, words_alert, write

VENDORS: Final = 2_000
WORDS: Final = 20_000
_SEVERITIES: Final = ("LOW", "MEDIUM", "HIGH", "CRITICAL")
_SYLLABLES: Final = ("ka", "lo", "mi", "re", "tu", "sen", "dar", "pol", "vix", "ono", "est", "ing")


def word(number: int) -> str:
    """The spelling of a word by its rank."""
    text = ""
    number += 1
    while number:
        number, at = divmod(number, len(_SYLLABLES))
        text += _SYLLABLES[at]
    return text


def rank(chance: Random, count: int) -> int:
    """A rank below ``count``, small ones far more often, as words of a language are."""
    return int(count ** chance.random()) - 1


def record(chance: Random, number: int) -> Json:
    """Something like a vulnerability record of 800 bytes."""
    vendor = rank(chance, VENDORS)
    return {
        "document_id": f"r{number}",
        "id": f"REC-{2020 + number % 5}-{number:05}",
        "title": sentence(chance, 8),
        "description": sentence(chance, 70),
        "affected": [
            {"vendor": f"vendor {vendor}", "product": f"product {vendor}.{rank(chance, 20)}"}
            for _ in range(chance.randint(1, 3))
        ],
        "classes": [f"C-{rank(chance, 400)}" for _ in range(chance.randint(0, 2))],
        "severity": chance.choice(_SEVERITIES),
        **({"score": round(chance.uniform(0, 10), 1)} if chance.random() < 0.7 else {}),
    }


def sentence(chance: Random, count: int) -> str:
    """So many words."""
    return " ".join(word(rank(chance, WORDS)) for _ in range(count))


def attributes(folder: Path, alerts: int, documents: int) -> Set:
    """Alerts of one to three attribute tests on records."""
    chance = Random(11)

    def test() -> Iterator[Json]:
        vendor = rank(chance, VENDORS)
        kind = chance.randrange(7)
        if kind == 0:
            yield {"field": "affected.vendor", "operator": "eq", "value": f"vendor {vendor}"}
        elif kind == 1:
            products = [f"product {vendor}.{rank(chance, 20)}" for _ in range(3)]
            yield {"field": "affected.product", "operator": "in", "value": products}
        elif kind == 2:
            yield {"field": "classes", "operator": "eq", "value": f"C-{rank(chance, 400)}"}
        elif kind == 3:
            yield {
                "field": "id",
                "operator": "starts_with",
                "value": f"REC-{2020 + chance.randrange(5)}-{chance.randrange(99):02}",
            }
        elif kind == 4:
            low = round(chance.uniform(0, 9.5), 1)
            yield {"field": "score", "operator": "gte", "value": low}
            yield {"field": "score", "operator": "lt", "value": low + 0.5}
        elif kind == 5:
            yield {"field": "affected.vendor", "operator": "exists", "value": True}
            yield {"field": "affected.vendor", "operator": "ne", "value": f"vendor {rank(chance, 50)}"}
            yield {"field": "classes", "operator": "eq", "value": f"C-{rank(chance, 400)}"}
        else:
            yield {"field": "severity", "operator": "eq", "value": chance.choice(_SEVERITIES)}
            yield {"field": "affected.vendor", "operator": "eq", "value": f"vendor {vendor}"}

    wanted = (
        alert(
            f"a{number}",
            {"case_sensitive": True, "AND": [leaf for _ in range(chance.randint(1, 2)) for leaf in test()]},
        )
        for number in range(alerts)
    )
    return Set(
        "generated-attributes",
        write(folder / "attributes.jsonl", wanted),
        write(folder / "records.jsonl", (record(chance, number) for number in range(documents))),
    )


def texts(folder: Path, alerts: int, documents: int) -> Set:
    """Alerts on all of some words, or on two in a row, and texts of 110 words."""
    chance = Random(12)

    def wanted(number: int) -> Json:
        phrase = number % 2 == 1
        terms = [word(rank(chance, WORDS)) for _ in range(2 if phrase else chance.randint(2, 5))]
        return words_alert(f"a{number}", terms, phrase=phrase)

    bodies = (
        {"document_id": f"t{number}", "text": sentence(chance, 110).capitalize() + "."}
        for number in range(documents)
    )
    return Set(
        "generated-text",
        write(folder / "text.jsonl", map(wanted, range(alerts))),
        write(folder / "texts.jsonl", bodies),
    )


_FIELDS: Final = ("Image", "CommandLine", "ParentImage", "TargetFilename", "User", "RuleName")


def logs(folder: Path, rules: int, documents: int) -> Set:
    """Nested rules of any case on log events of 1 kB: contains, starts_with, ends_with, regex and eq."""
    chance = Random(13)

    def path() -> str:
        return "C:\\" + "\\".join(word(rank(chance, 3_000)).capitalize() for _ in range(4)) + ".exe"

    def leaf() -> Json:
        operator = chance.choices(["contains", "starts_with", "ends_with", "regex", "eq"], [60, 8, 22, 3, 7])[0]
        text = word(500 + rank(chance, 3_000))
        value = {
            "contains": f"\\{text}",
            "starts_with": f"C:\\{text}",
            "ends_with": f"\\{text}.exe",
            "regex": f"{text}.{{1,8}}\\.exe$",
            "eq": f"C:\\{text}\\{text}.exe",
        }[operator]
        return {"field": chance.choice(_FIELDS), "operator": operator, "value": value}

    def rule(number: int) -> Json:
        selection = {
            "AND": [{"OR": [leaf() for _ in range(chance.randint(1, 8))]} for _ in range(chance.randint(1, 3))]
        }
        parts: list[Json] = [{"field": "EventID", "operator": "eq", "value": chance.randint(1, 25)}, selection]
        if chance.random() < 0.3:
            parts.append({"NOT": [leaf(), leaf()]})
        return alert(f"r{number}", {"AND": parts})

    def event(number: int) -> Json:
        fields: Json = {field: path() for field in _FIELDS}
        fields["CommandLine"] = " ".join(path() for _ in range(8))
        return {"EventID": chance.randint(1, 25), "ProcessId": number, "Computer": f"host{number % 50}", **fields}

    return Set(
        "generated-logs",
        write(folder / "rules.jsonl", map(rule, range(rules))),
        write(folder / "logs.jsonl", map(event, range(documents))),
    )
