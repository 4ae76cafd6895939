"""One template, compiled once and filled many times."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, Final

from jinja2 import Template, TemplateError, TemplateSyntaxError, Undefined, nodes

from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.templates.filters import METER
from streams.engines.retrieval.templates.functions import FUNCTIONS, functions
from streams.engines.retrieval.templates.language import NAMESPACES, Language, Metered, check
from streams.engines.retrieval.templates.meter import MAX_TEXT, Meter, TooMuchError
from streams.engines.retrieval.templates.written import written

MAX_TEMPLATE: Final = 20_000
"""Characters of a template, at most."""
_RESULT: Final = "result"
FAILURES: Final = (
    TemplateError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RecursionError,
)
"""What filling a template raises when the values do not suit it."""


@dataclass(frozen=True, slots=True)
class Names:
    """What templates can name."""

    inputs: Mapping[str, Any]
    document: Mapping[str, Any] | None
    """``DOC``: the row's root; ``None`` where there is no row."""
    context: Mapping[str, Any]
    stages: Mapping[str, Any]
    now: datetime

    def namespace(self, name: str) -> Mapping[str, Any]:
        """What a namespace of the language stands for."""
        if name == "INPUT":
            return self.inputs
        if name == "DOC":
            return self.document or {}
        return self.context if name == "CONTEXT" else self.stages


@dataclass(frozen=True, slots=True)
class Reference:
    """What a template takes out of a namespace: ``INPUT.x`` is ``("INPUT", "x")``; ``None`` as the key for a
    whole namespace, or a key that is computed. One that reads the time has ``("TIME", None)``."""

    namespace: str
    key: str | None


@dataclass(frozen=True, slots=True)
class Compiled:
    """A template ready to be filled."""

    template: Template
    whole: bool
    """It is one expression: it gives the expression's value, not a text."""
    references: frozenset[Reference]
    path: tuple[str, ...] | None
    """It is only a path, e.g. ``("INPUT", "user", "id")``."""

    def fill(self, names: Names) -> Any:
        """The value: of the expression when it is ``whole`` (``None`` where something is missing), else the text.
        Raises one of :data:`FAILURES`."""
        if self.path is not None:
            return _walk(names, self.path)
        meter = Meter()
        variables: dict[str, Any] = {
            **functions(names.now, meter),
            METER: meter,
            "_each": lambda items: meter.each(() if items is None else items),
            "_read": meter.read,
            "_built": meter.built,
            "_binary": meter.binary,
            "_concat": lambda *parts: _joined([written(part, meter) for part in parts], meter),
            **{name: names.namespace(name) for name in set(NAMESPACES.values())},
        }
        context = self.template.new_context(variables)
        chunks: list[str] = []
        size = 0
        for chunk in self.template.root_render_func(context):
            size += len(chunk)
            if size > MAX_TEXT:
                raise TooMuchError(f"it makes a text of more than {MAX_TEXT:,} characters")
            chunks.append(chunk)
        if not self.whole:
            return "".join(chunks)
        return _native(context.vars[_RESULT])


def _joined(texts: list[str], meter: Meter) -> str:
    meter.text(sum(map(len, texts)))
    return "".join(texts)


def _native(value: Any) -> Any:
    if isinstance(value, Undefined):
        return None
    return list(value) if isinstance(value, tuple) else value


@cache
def _language() -> Language:
    return Language()


@lru_cache(maxsize=16_384)
def compiled(text: str) -> Compiled:
    """Read a template. Raises :class:`PlanError` in words, without the place."""
    shown = f"the template {text[:80]!r}"
    if len(text) > MAX_TEMPLATE:
        raise PlanError(f"{shown} is longer than {MAX_TEMPLATE:,} characters")
    bare = text.strip()
    try:
        tree = _language().parse(bare if bare.startswith("{{") and bare.endswith("}}") else text)
        check(tree)
        stored = frozenset(node.name for node in tree.find_all(nodes.Name) if node.ctx == "store")
        references = _references(tree, stored)
        path = _path(tree)
        Metered(stored).visit(tree)
        expression = _whole(tree)
        if expression is not None:
            result = nodes.Assign(nodes.Name(_RESULT, "store"), expression)
            tree = nodes.Template([result], lineno=1)
            for node in tree.find_all(nodes.Node):
                node.lineno = node.lineno or 1
        tree.set_environment(_language())
        template = _language().from_string(tree)
    except TemplateSyntaxError as error:
        raise PlanError(f"{shown} cannot be read: {error.message}") from error
    except (RecursionError, MemoryError, ValueError, SyntaxError, OverflowError) as error:
        raise PlanError(f"{shown} cannot be read: it is too long or nested too deeply") from error
    return Compiled(template, expression is not None, references, path)


def _whole(tree: nodes.Template) -> nodes.Expr | None:
    """The one expression a template consists of."""
    if len(tree.body) != 1 or not isinstance(tree.body[0], nodes.Output):
        return None
    parts = tree.body[0].nodes
    return parts[0] if len(parts) == 1 and not isinstance(parts[0], nodes.TemplateData) else None


def _path(tree: nodes.Template) -> tuple[str, ...] | None:
    node, keys = _whole(tree), []
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        if isinstance(node, nodes.Getattr):
            keys.append(node.attr)
        elif isinstance(node.arg, nodes.Const) and type(node.arg.value) in (str, int):
            keys.append(str(node.arg.value))
        else:
            return None
        node = node.node
    if not isinstance(node, nodes.Name) or (name := NAMESPACES.get(node.name.lower())) is None or not keys:
        return None
    return (name, *reversed(keys))


def _walk(names: Names, path: tuple[str, ...]) -> Any:
    value: Any = names.namespace(path[0])
    for key in path[1:]:
        found = _language().getitem(dict(value) if isinstance(value, Mapping) else value, key)
        if isinstance(found, Undefined):
            return None
        value = found
    return value


def _references(tree: nodes.Template, stored: frozenset[str]) -> frozenset[Reference]:
    """What the template takes out of namespaces. Raises for a name that is none."""
    found: set[Reference] = set()
    keyed: set[int] = set()
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        assert isinstance(node, nodes.Getattr | nodes.Getitem)
        if not isinstance(node.node, nodes.Name):
            continue
        name = NAMESPACES.get(node.node.name.lower())
        if name is None or node.node.name in stored:
            continue
        keyed.add(id(node.node))
        key = node.attr if isinstance(node, nodes.Getattr) else _constant(node.arg)
        found.add(Reference(name, key))
    for node in tree.find_all(nodes.Name):
        if node.name in ("utc_now", "time_ago"):
            found.add(Reference("TIME", None))
        if node.ctx == "store" or id(node) in keyed or node.name in stored or node.name in (*FUNCTIONS, "loop"):
            continue
        name = NAMESPACES.get(node.name.lower())
        if name is None and node.name.lower() == "secret":
            raise TemplateSyntaxError("no secret is available on this server", node.lineno)
        if name is None:
            raise TemplateSyntaxError(
                f"unknown name {node.name!r}; there are INPUT, DOC, CONTEXT and STAGE", node.lineno
            )
        found.add(Reference(name, None))
    return frozenset(found)


def _constant(node: nodes.Node) -> str | None:
    return str(node.value) if isinstance(node, nodes.Const) else None
