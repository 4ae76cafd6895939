"""What of Jinja a template may use, and how it is made safe: checked first, then every growing step is counted.

Jinja's sandbox keeps a template from Python; it does not keep it from filling the memory or running for hours. So
only the nodes below are accepted, nothing can be called but our functions, and loops, literals, signs, joins and
comparisons are rewritten to go through a :class:`~.meter.Meter`.
"""

from typing import Any, Final

from jinja2 import ChainableUndefined, TemplateSyntaxError, nodes, pass_context
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.visitor import NodeTransformer

from streams.engines.retrieval.templates.filters import FILTERS, METER
from streams.engines.retrieval.templates.functions import FUNCTIONS
from streams.engines.retrieval.templates.written import written

NAMESPACES: Final[dict[str, str]] = {
    "input": "INPUT",
    "inputs": "INPUT",
    "doc": "DOC",
    "context": "CONTEXT",
    "stage": "STAGE",
}
"""Lower-case spelling → namespace."""

MAX_NODES: Final = 2_000
MAX_DEPTH: Final = 40

_ALLOWED: Final = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.Assign),
    *(nodes.Name, nodes.Const, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword),
    *(nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Filter, nodes.Test, nodes.Call, nodes.CondExpr),
    *(nodes.And, nodes.Or, nodes.Not, nodes.Compare, nodes.Operand, nodes.Neg, nodes.Pos, nodes.Concat),
    *(nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod),
)
_SIGNS: Final[dict[type[nodes.BinExpr], str]] = {
    nodes.Add: "+",
    nodes.Sub: "-",
    nodes.Mul: "*",
    nodes.Div: "/",
    nodes.FloorDiv: "//",
    nodes.Mod: "%",
}
_LOOP: Final = ("index", "index0", "first", "last", "length", "revindex", "revindex0")
_TESTS: Final = (
    *("!=", "<", "<=", "==", ">", ">=", "eq", "ne", "lt", "le", "gt", "ge", "equalto", "in", "boolean", "defined"),
    *("divisibleby", "even", "odd", "false", "true", "float", "integer", "number", "iterable", "mapping", "none"),
    *("sequence", "string", "undefined", "lower", "upper", "lessthan", "greaterthan"),
)


class Language(ImmutableSandboxedEnvironment):
    """Jinja over JSON values: a key is always a key of the data, never a Python attribute."""

    def __init__(self) -> None:
        super().__init__(undefined=ChainableUndefined, autoescape=False, keep_trailing_newline=True, cache_size=0)
        self.filters = dict(FILTERS)
        self.tests = {name: TESTS[name] for name in _TESTS}
        self.globals = {}
        self.finalize = _finalize

    def getattr(self, obj: Any, attribute: str) -> Any:
        """``obj.attribute``."""
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """``obj[argument]``: a key of an object, an index or slice of a list or string; else nothing."""
        if isinstance(obj, dict):
            found = obj.get(argument, self) if isinstance(argument, str) else self
            return self.undefined(obj=obj, name=argument) if found is self else found
        if isinstance(obj, list | tuple | str):
            if isinstance(argument, str) and argument.isascii() and argument.isdigit() and len(argument) < 10:
                argument = int(argument)
            if isinstance(argument, slice):
                return obj[argument]
            if type(argument) is int and -len(obj) <= argument < len(obj):
                return obj[argument]
        elif isinstance(obj, LoopContext) and argument in _LOOP:
            return getattr(obj, argument)
        return self.undefined(obj=obj, name=argument)


@pass_context
def _finalize(context: Context, value: Any) -> str:
    return written(value, context[METER])


def check(tree: nodes.Template) -> None:
    """Raises :class:`TemplateSyntaxError` for what a template may not use."""
    waiting: list[tuple[nodes.Node, int]] = [(tree, 0)]
    count = 0
    while waiting:
        node, depth = waiting.pop()
        count += 1
        if count > MAX_NODES or depth > MAX_DEPTH:
            raise TemplateSyntaxError("it is too long or nested too deeply", node.lineno)
        _check_node(node)
        waiting.extend((child, depth + 1) for child in node.iter_child_nodes())


def _check_node(node: nodes.Node) -> None:
    if not isinstance(node, _ALLOWED):
        raise TemplateSyntaxError(f"{type(node).__name__.lower()} is not allowed", node.lineno)
    if isinstance(node, nodes.For) and node.recursive:
        raise TemplateSyntaxError("a recursive loop is not allowed", node.lineno)
    if isinstance(node, nodes.Name):
        if node.name.startswith("_"):
            raise TemplateSyntaxError(f"unknown name {node.name!r}", node.lineno)
        if node.ctx == "store" and node.name in (*NAMESPACES.values(), *FUNCTIONS):
            raise TemplateSyntaxError(f"{node.name} cannot be set", node.lineno)
    if isinstance(node, nodes.Call) and not (isinstance(node.node, nodes.Name) and node.node.name in FUNCTIONS):
        raise TemplateSyntaxError(f"only {', '.join(sorted(FUNCTIONS))} can be called", node.lineno)
    if isinstance(node, nodes.Call | nodes.Filter | nodes.Test) and (node.dyn_args or node.dyn_kwargs):
        raise TemplateSyntaxError("arguments cannot be unpacked", node.lineno)
    if isinstance(node, nodes.Filter) and node.name not in FILTERS:
        raise TemplateSyntaxError(f"no filter {node.name!r}; there are {', '.join(sorted(FILTERS))}", node.lineno)
    if isinstance(node, nodes.Test) and node.name not in _TESTS:
        raise TemplateSyntaxError(f"no test {node.name!r}", node.lineno)


class Metered(NodeTransformer):
    """Rewrites a checked tree so that its namespaces have one spelling and its work is counted."""

    def __init__(self, stored: frozenset[str]) -> None:
        self._stored = stored

    def visit_Name(self, node: nodes.Name) -> nodes.Node:  # noqa: N802
        """A namespace in any case, unless the template itself sets the name."""
        if node.ctx == "load" and node.name not in self._stored:
            node.name = NAMESPACES.get(node.name.lower(), node.name)
        return node

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        """Count every step."""
        self.generic_visit(node)
        node.iter = _call("_each", node.iter)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        """Count the text before it is made."""
        self.generic_visit(node)
        return _call("_concat", *node.nodes)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        """Count what is compared."""
        self.generic_visit(node)
        node.expr = _call("_read", node.expr)
        for operand in node.ops:
            operand.expr = _call("_read", operand.expr)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        """Count a slice: it is a copy."""
        self.generic_visit(node)
        return _call("_read", node) if isinstance(node.arg, nodes.Slice) else node

    def visit_Test(self, node: nodes.Test) -> nodes.Node:  # noqa: N802
        """Count what is tested, and let ``defined`` still see what is missing."""
        self.generic_visit(node)
        if node.name not in ("defined", "undefined"):
            node.node = _call("_read", node.node)
        return node

    def _literal(self, node: nodes.Expr) -> nodes.Node:
        self.generic_visit(node)
        return _call("_built", node)

    def visit_List(self, node: nodes.List) -> nodes.Node:  # noqa: N802
        """Count what is built."""
        return self._literal(node)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:  # noqa: N802
        """Count what is built."""
        return self._literal(node)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802
        """Count what is built."""
        if node.ctx == "store":
            return node
        return self._literal(node)

    def _binary(self, node: nodes.BinExpr) -> nodes.Node:
        self.generic_visit(node)
        return _call("_binary", nodes.Const(_SIGNS[type(node)]), node.left, node.right)

    visit_Add = visit_Sub = visit_Mul = visit_Div = visit_FloorDiv = visit_Mod = _binary  # noqa: N815


def _call(name: str, *arguments: nodes.Node) -> nodes.Call:
    return nodes.Call(nodes.Name(name, "load"), list(arguments), [], None, None)
