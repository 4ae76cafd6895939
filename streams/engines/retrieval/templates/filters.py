"""The filters of templates (contract section 6, Templates), each counting what it goes through."""

import re
import unicodedata
from collections.abc import Callable, Generator, Mapping
from typing import Any, Final

from jinja2 import Undefined, pass_context
from jinja2.filters import FILTERS as JINJA
from jinja2.runtime import Context

from streams.engines.retrieval.templates.functions import rounded
from streams.engines.retrieval.templates.meter import Meter
from streams.engines.retrieval.templates.written import to_json, written

METER: Final = "_meter"
"""The variable that holds the meter of a rendering; no template can name it."""

_FROM_JINJA: Final = (
    *("abs", "capitalize", "count", "first", "float", "int", "items", "last", "length", "list", "lower", "map"),
    *("max", "min", "reject", "rejectattr", "reverse", "select", "selectattr", "sort", "title", "trim", "unique"),
    "upper",
)


def _slugify(value: Any) -> str:
    plain = unicodedata.normalize("NFKD", str(value)).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")


def _boolean(value: Any) -> bool:
    """Words of no, empty, zero and missing are false."""
    if isinstance(value, str):
        return value.strip().casefold() not in ("", "0", "false", "no", "off", "n", "f", "none", "null")
    return bool(value)


def _default(value: Any, instead: Any = "", boolean: bool = False) -> Any:
    missing = value is None or isinstance(value, Undefined) or (boolean and not value)
    return instead if missing else value


def _sum(value: Any, attribute: str | None = None) -> Any:
    items = value if attribute is None else [item.get(attribute) for item in value]
    return sum(item for item in items if type(item) in (int, float))


@pass_context
def _join(context: Context, value: Any, separator: str = "", attribute: str | None = None) -> str:
    meter = _meter(context)
    items = [item.get(attribute) if isinstance(item, Mapping) else None for item in value] if attribute else value
    texts = [written(item, meter) for item in items]
    meter.text(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


@pass_context
def _replace(context: Context, value: Any, old: str, new: str) -> str:
    text = written(value, _meter(context))
    _meter(context).text(len(text) + text.count(old) * max(0, len(new) - len(old)))
    return text.replace(old, new)


@pass_context
def _split(context: Context, value: Any, separator: str | None = None) -> list[str]:
    parts = written(value, _meter(context)).split(separator)
    _meter(context).spend(len(parts))
    return parts


@pass_context
def _string(context: Context, value: Any) -> str:
    return written(value, _meter(context))


@pass_context
def _tojson(context: Context, value: Any) -> str:
    return to_json(value, _meter(context))


def _meter(context: Context) -> Meter:
    meter = context[METER]
    assert isinstance(meter, Meter)
    return meter


def _counted(plain: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that counts what it is given, and gives lists where Jinja's give generators."""
    wants = getattr(getattr(plain, "jinja_pass_arg", None), "name", None)

    @pass_context
    def wrapped(context: Context, value: Any, *arguments: Any, **options: Any) -> Any:
        meter = _meter(context)
        meter.read(value)
        leading: tuple[Any, ...] = ()
        if wants == "context":
            leading = (context,)
        elif wants == "eval_context":
            leading = (context.eval_ctx,)
        elif wants == "environment":
            leading = (context.environment,)
        result = plain(*leading, value, *arguments, **options)
        return list(meter.each(result)) if isinstance(result, Generator) or hasattr(result, "__next__") else result

    return wrapped


_PLAIN: Final[dict[str, Callable[..., Any]]] = {
    **{name: JINJA[name] for name in _FROM_JINJA},
    "bool": _boolean,
    "d": _default,
    "default": _default,
    "join": _join,
    "replace": _replace,
    "round": rounded,
    "slugify": _slugify,
    "split": _split,
    "string": _string,
    "sum": _sum,
    "tojson": _tojson,
}

FILTERS: Final[dict[str, Callable[..., Any]]] = {name: _counted(plain) for name, plain in _PLAIN.items()}
"""The filters there are."""
