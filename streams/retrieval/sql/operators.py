"""The operators of the filter language on one value, as SQL (``filters/operators.py`` says what they mean)."""

from collections.abc import Callable, Hashable
from typing import Any, Final

from streams.engines.retrieval.filters.nodes import Condition
from streams.retrieval.sql.bounds import FALSE, NEVER, TRUE, Bounds, both, exactly, some
from streams.retrieval.sql.instants import compared, moment_of
from streams.retrieval.sql.lowering import capitals, lowered, lowered_all
from streams.retrieval.sql.numbers import comparable
from streams.retrieval.sql.parameters import Parameters, storable

_SIGNS: Final = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_LISTS_MANY: Final = 8
"""Lists in an ``in`` beyond which they are compared elsewhere."""


def test(asked: Condition, parameters: Parameters) -> Callable[[str], Bounds]:
    """The test of a condition. It is given a value (SQL, jsonb, null where there is none), and what comes out null
    counts as false."""
    make = _TESTS.get(asked.operator)
    if make is None:
        # A regular expression of another engine, stems and shapes: decided in memory.
        return lambda value: Bounds(FALSE, f"{value} IS NOT NULL")
    return make(asked, parameters)


def _exists(asked: Condition, parameters: Parameters) -> Callable[[str], Bounds]:
    return lambda value: exactly(f"{value} IS NOT NULL")


def not_null(value: str) -> Bounds:
    """Whether a value is there and not null."""
    return exactly(f"jsonb_typeof({value}) <> 'null'")


def _eq(asked: Condition, parameters: Parameters) -> Callable[[str], Bounds]:
    return lambda value: _equals(value, asked.operand, asked.case_sensitive, parameters)


def _equals(value: str, key: Any, case_sensitive: bool, parameters: Parameters) -> Bounds:
    """Whether a value or an element of it equals a folded key."""
    if type(key) is str and not storable(key):
        return NEVER
    if type(key) is str and not case_sensitive and not capitals().keys().isdisjoint(key):
        wanted = parameters.text(key)
        return _any_string(value, lambda text: exactly(f"{lowered(text, key, parameters)} = {wanted}"))
    plain = _unfolded(key, case_sensitive)
    if plain is _OPEN:
        return Bounds(FALSE, f"{value} IS NOT NULL")
    if type(key) is not tuple or key[0] == "bool":
        # A list contains its elements, and a scalar itself.
        return exactly(f"{value} @> {parameters.json(plain)}")
    wanted = parameters.json(plain)
    return exactly(f"{value} = {wanted} OR {_any_element(value, f'e.element = {wanted}')}")


_OPEN: Final = object()


def _unfolded(key: Hashable, case_sensitive: bool) -> Any:
    """The JSON that equals a key exactly where the key does; ``_OPEN`` where there is none."""
    if type(key) is tuple:
        if key[0] == "bool":
            return key[1]
        if key[0] != "list":
            return _OPEN
        items = [_unfolded(item, case_sensitive) for item in key[1:]]
        return _OPEN if any(item is _OPEN for item in items) else items
    if type(key) is str:
        return key if storable(key) and (case_sensitive or capitals().keys().isdisjoint(key)) else _OPEN
    if type(key) is int or type(key) is float:
        found = comparable(key)
        return _OPEN if found is None else found
    return None if key is None else _OPEN


def _in(asked: Condition, parameters: Parameters) -> Callable[[str], Bounds]:
    keys: Any = asked.operand
    strings = sorted(key for key in keys if type(key) is str and storable(key))
    lists = [key for key in keys if type(key) is tuple and key[0] == "list"]
    scalars = [_unfolded(key, True) for key in keys if type(key) is not str and key not in lists]

    def fits(value: str) -> Bounds:
        if len(lists) > _LISTS_MANY or any(scalar is _OPEN for scalar in scalars):
            return Bounds(FALSE, f"{value} IS NOT NULL")
        parts = [_equals(value, key, asked.case_sensitive, parameters) for key in lists]
        if strings:
            letters = "" if asked.case_sensitive else "".join(strings)
            wanted = parameters.texts(strings)
            parts.append(
                _any_string(value, lambda text: exactly(f"{lowered(text, letters, parameters)} = ANY ({wanted})"))
            )
        if scalars:
            # Sets have no order, and the same filter is to be the same statement.
            wanted_json = parameters.jsons(sorted(scalars, key=repr))
            parts.append(
                exactly(
                    f"{value} = ANY ({wanted_json}) OR {_any_element(value, f'e.element = ANY ({wanted_json})')}"
                )
            )
        return some(parts)

    return fits


def _compare(asked: Condition, parameters: Parameters) -> Callable[[str], Bounds]:
    operand: Any = asked.operand
    kind, bound = operand
    sign = _SIGNS[asked.operator]
    if kind == "number":
        found = comparable(bound)
        if found is None:
            return lambda value: Bounds(FALSE, f"jsonb_typeof({value}) IN ('number', 'array')")
        number = f"{parameters.json(found)}::numeric"

        def elements(element: str) -> str:
            return f"CASE WHEN jsonb_typeof({element}) = 'number' THEN {element}::numeric {sign} {number} END"

        return lambda value: exactly(_any_scalar(value, "number", elements))
    if kind == "instant":
        return lambda value: _any_string(value, lambda text: compared(asked.operator, text, bound, parameters))
    if not storable(bound):
        return lambda value: Bounds(FALSE, f"{value} IS NOT NULL")
    wanted = f'{parameters.text(bound)} COLLATE "C"'

    def ordered(text: str) -> Bounds:
        # What follows as many characters as the bound has decides only by being there.
        head = f"left({text}, {len(bound) + 1})"
        return exactly(f"{head if asked.case_sensitive else lowered_all(head, parameters)} {sign} {wanted}")

    return lambda value: _any_string(value, ordered)


def compared_column(asked: Condition, column: str, parameters: Parameters) -> str | None:
    """A comparison of a column of instants; ``None`` for any other condition."""
    sign = _SIGNS.get(asked.operator)
    operand: Any = asked.operand
    if sign is None or operand[0] != "instant":
        return None
    moment = moment_of(operand[1])
    return None if moment is None else f"{column} {sign} {parameters.text(moment.isoformat())}::timestamptz"


def _contains(asked: Condition, parameters: Parameters) -> Callable[[str], Bounds]:
    key: Any = asked.operand

    def fits(value: str) -> Bounds:
        member = _equals(value, key, asked.case_sensitive, parameters)
        if type(key) is not str:
            return both(member, lambda condition: f"jsonb_typeof({value}) = 'array' AND ({condition})")
        if not storable(key):
            return NEVER
        text = lowered(f"({value} #>> '{{}}')", "" if asked.case_sensitive else key, parameters)
        part = f"strpos({text}, {parameters.text(key)}) > 0"
        return both(
            member,
            lambda condition: (
                f"CASE jsonb_typeof({value}) WHEN 'string' THEN {part} WHEN 'array' THEN {condition} END"
            ),
        )

    return fits


def _starts(asked: Condition, parameters: Parameters) -> Callable[[str], Bounds]:
    return _cut(asked, "left", parameters)


def _ends(asked: Condition, parameters: Parameters) -> Callable[[str], Bounds]:
    return _cut(asked, "right", parameters)


def _cut(asked: Condition, side: str, parameters: Parameters) -> Callable[[str], Bounds]:
    part = str(asked.operand)
    if not storable(part):
        return lambda _: NEVER
    letters = "" if asked.case_sensitive else part

    def fits(text: str) -> Bounds:
        cut = lowered(f"{side}({text}, {len(part)})", letters, parameters)
        return exactly(f"{cut} = {parameters.text(part)}")

    return lambda value: _any_string(value, fits)


def _text(asked: Condition, parameters: Parameters) -> Callable[[str], Bounds]:
    part = str(asked.operand)
    if not storable(part):
        return lambda _: NEVER
    return lambda value: _any_string(value, lambda text: exactly(_holds_part(text, part, parameters)))


def _phrase(asked: Condition, parameters: Parameters) -> Callable[[str], Bounds]:
    """Every word of it is somewhere in the text: whether as a word and in order is looked at in memory."""
    words: Any = asked.operand
    parts = [word for word in dict.fromkeys(words) if storable(word)]

    def fits(text: str) -> Bounds:
        return Bounds(FALSE, " AND ".join(_holds_part(text, word, parameters) for word in parts) or TRUE)

    return lambda value: _any_string(value, fits)


def _holds_part(text: str, part: str, parameters: Parameters) -> str:
    return f"strpos({lowered(text, part, parameters)}, {parameters.text(part)}) > 0"


def _any_string(value: str, fits: Callable[[str], Bounds]) -> Bounds:
    """Whether a string, or a string in a list, fits."""
    whole, element = fits(f"({value} #>> '{{}}')"), fits("(e.element #>> '{}')")

    def condition(one: str, several: str) -> str:
        if one == FALSE and several == FALSE:
            return FALSE
        inner = f"jsonb_typeof(e.element) = 'string' AND ({several})"
        return (
            f"CASE jsonb_typeof({value}) WHEN 'string' THEN {one}"
            f" WHEN 'array' THEN EXISTS (SELECT FROM jsonb_array_elements({value}) AS e (element)"
            f" WHERE {inner}) END"
        )

    return Bounds(condition(whole.sure, element.sure), condition(whole.possible, element.possible))


def _any_scalar(value: str, kind: str, fits: Callable[[str], str]) -> str:
    return (
        f"CASE jsonb_typeof({value}) WHEN '{kind}' THEN {fits(value)}"
        f" WHEN 'array' THEN EXISTS (SELECT FROM jsonb_array_elements({value}) AS e (element)"
        f" WHERE {fits('e.element')}) END"
    )


def _any_element(value: str, condition: str) -> str:
    return (
        f"CASE jsonb_typeof({value}) WHEN 'array'"
        f" THEN EXISTS (SELECT FROM jsonb_array_elements({value}) AS e (element) WHERE {condition}) ELSE FALSE END"
    )


_TESTS: Final[dict[str, Callable[[Condition, Parameters], Callable[[str], Bounds]]]] = {
    "exists": _exists,
    "eq": _eq,
    "in": _in,
    "gt": _compare,
    "gte": _compare,
    "lt": _compare,
    "lte": _compare,
    "contains": _contains,
    "starts_with": _starts,
    "ends_with": _ends,
    "text": _text,
    "phrase": _phrase,
}
