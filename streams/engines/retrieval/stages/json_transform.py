"""``json_transform``: every document remade by a template (contract section 6)."""

from dataclasses import replace
from typing import Any, ClassVar, Final

import orjson
from pydantic import Field

from schemas.api.base import JsonObject
from streams.engines.retrieval.errors import StageError
from streams.engines.retrieval.execution.run import Run
from streams.engines.retrieval.stages.parameters import StageParameters
from streams.engines.retrieval.stages.percolating import on_the_row
from streams.engines.retrieval.stages.stage import Row, Stage
from streams.engines.retrieval.stages.values import number

_TEXT: Final = r'[^"\\{}\x00-\x1f]'
_FIELD: Final = r"\{\{ ?DOC(\.[A-Za-z_][A-Za-z0-9_]*)+ ?"
_SPACE: Final = r"[ \t\n\r]*"
_MEMBER: Final = (
    rf'"{_TEXT}*"{_SPACE}:{_SPACE}("({_TEXT}|{_FIELD}\}}\}})*"|-?[1-9][0-9]{{0,14}}|0|true|false|null'
    rf"|{_FIELD}\| ?tojson ?\}}\}}){_SPACE}"
)
_OBJECT: Final = rf"^\{{{_SPACE}({_MEMBER}(,{_SPACE}{_MEMBER})*)?\}}$"
"""An object of fields and constants. Objects in it, conditions, loops and other templates are read too."""


class Parameters(StageParameters):
    """The template, and what happens to documents it cannot remake."""

    checked: ClassVar[JsonObject] = {
        "properties": {"template": {"type": "string", "maxLength": 20_000, "pattern": _OBJECT}}
    }

    template: str = Field(min_length=1)
    """Must render to a JSON object; ``DOC`` is the document."""
    fail_on_error: bool = False
    """``false``: a document it fails on is left out, with a warning; ``true``: the execution fails."""


def remade(row: Row, rendered: Any) -> Row:
    """The row with what the template made of it for its fields. Its ids stay, which tell what it is; so does its
    score, unless the template wrote a number. Raises ``ValueError`` when it is no JSON object."""
    made = orjson.loads(rendered) if isinstance(rendered, str) else rendered
    if not isinstance(made, dict):
        raise ValueError(f"it rendered to {type(made).__name__}, not to an object")
    score = number(made.get("score"))
    fields = {key: item for key, item in made.items() if key not in ("document_id", "collection_id", "score")}
    return replace(row, fields=fields, score=row.score if score is None else score)


async def run(rows: list[Row], parameters: Parameters, run: Run) -> list[Row]:
    """Remake each row."""
    made: list[Row] = []
    failed = 0
    reason = ""
    for row in rows:
        try:
            made.append(remade(row, run.render(parameters.template, row)))
        except (StageError, ValueError) as error:
            words = str(error).removeprefix(f"{run.place}: ")
            if parameters.fail_on_error:
                raise StageError(f"{run.place}: the template did not make a JSON object: {words}") from error
            failed += 1
            reason = reason or words
    if failed:
        run.warn(f"{failed} of {len(rows)} documents left out, the template did not make a JSON object: {reason}")
    return made


STAGE = Stage(
    stage_id="json_transform",
    category="apply",
    summary="Remake each document by a template that renders to JSON",
    parameters=Parameters,
    run=run,
    percolate=on_the_row,
    per_row=frozenset(("template",)),
)
