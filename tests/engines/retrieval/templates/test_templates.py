"""Templates: what they give, what they may not do, and that hostile ones end soon (contract section 6)."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engines.retrieval.errors import PlanError, StageError
from streams.engines.retrieval.templates.compiled import compiled
from streams.engines.retrieval.templates.filling import Names, Reference, fill, holds_template, references

NOW = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
NAMES = Names(
    inputs={
        "n": 5,
        "v": [1.0, 2.0],
        "digits": "123",
        "nothing": None,
        "user": {"id": 7, "items": 3, "keys": ["k"]},
        "no": "off",
        "text": "a,b",
    },
    document={
        "title": "Héllo {{INPUT.n}} <b>",
        "tags": ["a", "b"],
        "people": [{"name": "x", "age": 1}, {"name": "y", "age": 3}],
        "a.b": 1,
        "many": list(range(1_000)),
        "long": "x" * 900_000,
    },
    context={"top": [{"a": 1}]},
    stages={"find": {"output_count": 3}},
    now=NOW,
)


def filled(value: Any) -> Any:
    return fill(value, NAMES, "here")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("plain", "plain"),
        ("{single}", "{single}"),
        ("{{INPUT.n}}", 5),
        (" {{ inputs['n'] }} ", 5),
        ("{{Input.v}}", [1.0, 2.0]),
        ("{{INPUT.digits}}", "123"),
        ("a{{INPUT.n}}b", "a5b"),
        ("{{INPUT.n}}{{INPUT.n}}", "55"),
        ("{{INPUT.missing}}", None),
        ("{{INPUT.missing.deeper[0].still}}", None),
        ("{{INPUT.nothing.deeper}}", None),
        ("x{{INPUT.missing}}y", "xy"),
        ("{{INPUT.missing | default('d')}}", "d"),
        ("{{INPUT.nothing | default(3)}}", 3),
        ("{{INPUT.user.items}}", 3),
        ("{{INPUT.user.keys}}", ["k"]),
        ("{{INPUT.user.values}}", None),
        ("{{INPUT['user']['id']}}", 7),
        ("{{DOC.title}}", "Héllo {{INPUT.n}} <b>"),
        ("{{doc.title}}!", "Héllo {{INPUT.n}} <b>!"),
        ("{{DOC['a.b']}}", 1),
        ("{{DOC.tags[1]}}", "b"),
        ("{{DOC.tags.1}}", "b"),
        ("{{DOC.tags[-1]}}", "b"),
        ("{{DOC.tags[9]}}", None),
        ("{{DOC.tags[:1]}}", ["a"]),
        ("{{DOC.tags | first}}", "a"),
        ("{{DOC.tags | last}}", "b"),
        ("{{DOC.tags | join(', ')}}", "a, b"),
        ("{{DOC.tags | length}}", 2),
        ("{{DOC.missing | length}}", 0),
        ("{{DOC.people | map(attribute='name')}}", ["x", "y"]),
        ("{{DOC.people | map(attribute='name') | join('+')}}", "x+y"),
        ("{{DOC.people | selectattr('age', 'gt', 2) | map(attribute='name')}}", ["y"]),
        ("{{DOC.people | sum('age')}}", 4),
        ("{{DOC.people | tojson}}", '[{"name":"x","age":1},{"name":"y","age":3}]'),
        ("{{DOC.title | tojson}}", '"Héllo {{INPUT.n}} <b>"'),
        ("{{DOC.missing | tojson}}", "null"),
        ("{{DOC.title | slugify}}", "hello-input-n-b"),
        ("{{INPUT.no | bool}}", False),
        ("{{INPUT.n | bool}}", True),
        ("{{INPUT.text | split(',')}}", ["a", "b"]),
        ("{{INPUT.n * 2 + 1}}", 11),
        ("{{INPUT.n / 2}}", 2.5),
        ("{{'yes' if INPUT.n > 3 else 'no'}}", "yes"),
        ("{{'a' in DOC.tags and not INPUT.missing}}", True),
        ("{{INPUT.zz is defined}}", False),
        ("{{max(1, INPUT.n, INPUT.missing)}}", 5),
        ("{{min(DOC.many)}}", 0),
        ("{{max(INPUT.missing)}}", None),
        ("{{abs(-2)}}{{round(1.26, 1)}}{{ceil(1.2)}}{{floor(1.8)}}", "21.321"),
        ("{{[INPUT.n, DOC.tags]}}", [5, ["a", "b"]]),
        ("{{ {'a': INPUT.n} }}", {"a": 5}),
        ("{{('a', 'b')}}", ["a", "b"]),
        ("{{DOC.tags ~ 1}}", '["a","b"]1'),
        ("{{true}} {{none}}{{[true]}}", "true [true]"),
        ("{% for t in DOC.tags %}{{loop.index}}{{t}}{% if not loop.last %},{% endif %}{% endfor %}", "1a,2b"),
        ("{% for doc in DOC.people %}{{doc.name}}{% endfor %}", "xy"),
        ("{% if INPUT.n == 5 %}five{% else %}other{% endif %}", "five"),
        ("{% set x = INPUT.n + 1 %}{{x}}", "6"),
        ("{{CONTEXT.top[0].a}}", 1),
        ("{{context.top | first}}", {"a": 1}),
        ("{{STAGE.find.output_count}}", 3),
        ("{{utc_now()}}", "2026-03-02T12:30:00.000Z"),
        ("{{time_ago(minutes=5)}}", "2026-03-02T12:25:00.000Z"),
        ("{{time_ago(hours=1, days=1, seconds=30)}}", "2026-03-01T11:29:30.000Z"),
        ({"type": "dynamic", "field": "inputs.user.id"}, 7),
        ({"type": "dynamic", "field": "user.id"}, 7),
        ({"a": ["{{INPUT.n}}", 1.5], "b": {"c": "{{DOC.tags}}"}}, {"a": [5, 1.5], "b": {"c": ["a", "b"]}}),
    ],
)
def test_values(template: Any, expected: Any) -> None:
    found = filled(template)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ DOC", "cannot be read"),
        ("{{ }}", "cannot be read"),
        ("{{ FOO.x }}", "unknown name 'FOO'"),
        ("{{ now }}", "unknown name 'now'"),
        ("{{ SECRET.key }}", "no secret is available"),
        ("{{ self }}", "unknown name"),
        ("{{ cycler }}", "unknown name"),
        ("{{ _meter }}", "unknown name"),
        ("{{ _read('x') }}", "called"),
        ("{{ 'a'.upper() }}", "called"),
        ("{{ 'a'.format(1) }}", "called"),
        ("{{ ''.__class__.__mro__() }}", "called"),
        ("{{ DOC.tags | map('eval') }}", "could not be filled"),
        ("{{ DOC | attr('__class__') }}", "no filter 'attr'"),
        ("{{ 1 | format }}", "no filter 'format'"),
        ("{{ 1 is callable }}", "no test"),
        ("{% macro a() %}{{ a() }}{% endmacro %}", "not allowed"),
        ("{% include 'x' %}", "not allowed"),
        ("{% import 'x' as y %}", "not allowed"),
        ("{% extends 'x' %}", "not allowed"),
        ("{% block x %}{% endblock %}", "not allowed"),
        ("{% set x %}a{% endset %}", "not allowed"),
        ("{% for x in DOC.tags recursive %}{{ loop(DOC.tags) }}{% endfor %}", "recursive"),
        ("{% set DOC = 1 %}", "cannot be set"),
        ("{{ max(*DOC.tags) }}", "unpacked"),
        ("{{ 2 ** 9 }}", "pow is not allowed"),
        ("{{ " + "(" * 300 + "1" + ")" * 300 + " }}", "cannot be read"),
        ("{{ " + "-" * 5_000 + "1 }}", "cannot be read"),
        ("{{ " + "[" * 100 + "]" * 100 + " }}", "nested too deeply"),
        ("{{ " + "9" * 5_000 + " }}", "cannot be read"),
        ("{{ 1 }}" * 2_000, "too long"),
        ("x" * 30_000 + "{{INPUT.n}}", "longer than"),
        ("{{ 'a' * 10 }}", "two numbers"),
        ("{{ [1] * 10 }}", "two numbers"),
        ("{{ 'a' + 1 }}", "join others with ~"),
        ("{{ '%99999999d' % 1 }}", "two numbers"),
        ("{{ INPUT.n / 0 }}", "division by zero"),
        ("{{ 1 | round(10000000000) }}", "digits"),
        ("{{ round(1, -10000000000) }}", "digits"),
        ("{{ range(100000000) }}", "range gives"),
        ("{{ time_ago(days=1e300) }}", "could not be filled"),
        ("{{ DOC.people | sort }}", "could not be filled"),
    ],
)
def test_refusals(template: str, says: str) -> None:
    with pytest.raises((StageError, PlanError)) as caught:
        filled(template)
    assert says in str(caught.value)
    assert "here" in str(caught.value)


GROWN = "{% set x = 'aaaaaaaa' %}"
BOMBS = {
    "loops": "{% for a in DOC.many %}{% for b in DOC.many %}{% set x = a %}{% endfor %}{% endfor %}",
    "text": GROWN + "{% set x = x ~ x %}" * 60 + "{{ x }}",
    "added text": GROWN + "{% set x = x + x %}" * 60 + "{{ x }}",
    "shared lists": "{% set x = [1] %}" + "{% set x = [x, x] %}" * 60 + "{{ x }}",
    "shared objects": "{% set x = [1] %}" + "{% set x = {'a': x, 'b': x} %}" * 60 + "{{ x | tojson }}",
    "shared in a pair": "{% set x = [1] %}" + "{% set x = (x, x) %}" * 60 + "{{ x }}",
    "added lists": "{% set x = [1] %}" + "{% set x = x + x %}" * 60 + "{{ x | length }}",
    "numbers": "{% set x = 9999 %}" + "{% set x = x * x %}" * 60 + "{{ x }}",
    "replace": "{{ INPUT.digits" + " | replace('', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')" * 12 + " }}",
    "join": "{{ DOC.many | join(DOC.long) }}",
    "output": "{% for a in DOC.many %}{{ DOC.long }}{% endfor %}",
    "compared": "{% for a in DOC.many %}{% if 'y' in DOC.long %}{% endif %}{% endfor %}",
    "sorted": "{% for a in DOC.many %}{{ (DOC.many | sort | reverse | unique)[0] }}{% endfor %}",
    "sliced": "{% for a in DOC.many %}{% set x = DOC.long[1:] %}{% endfor %}",
    "cased": "{% for a in DOC.many %}{% set x = DOC.long | upper %}{% endfor %}",
    "tested": "{% for a in DOC.many %}{% if DOC.long is lower %}{% endif %}{% endfor %}",
    "ranges": "{% for a in DOC.many %}{% set x = range(10000) %}{% endfor %}",
    "mapped": "{% for a in DOC.many %}{% set x = DOC.many | map('string') %}{% endfor %}",
    "made json": "{% for a in DOC.many %}{% set x = DOC.many | tojson %}{% endfor %}",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_stopped_soon(bomb: str) -> None:
    started = time.process_time()
    with pytest.raises(StageError, match=r"more than|too large"):
        filled(BOMBS[bomb])
    assert time.process_time() - started < 3.0


@given(st.text(max_size=200))
def test_any_text_is_filled_or_refused(text: str) -> None:
    try:
        filled("{{" + text + "}}")
        filled("{%" + text + "%}")
    except (StageError, PlanError):
        pass


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=8))
def test_a_value_is_given_as_it_is_and_never_read_as_a_template(value: Any) -> None:
    names = Names({"x": value}, None, {}, {}, NOW)
    assert fill("{{INPUT.x}}", names, "here") == value
    assert fill("{{INPUT['x'] | default(none)}}", names, "here") == value


@given(st.text())
def test_document_text_is_never_evaluated(text: str) -> None:
    names = Names({}, {"x": text + "{{ 1 + 1 }}"}, {}, {}, NOW)
    assert fill("<{{DOC.x}}>", names, "here") == f"<{text}{{{{ 1 + 1 }}}}>"


def test_references_say_what_is_needed() -> None:
    value = {
        "a": "{{INPUT.x}} {{doc['y'].z}}",
        "b": ["{{CONTEXT}} {{time_ago(days=1)}}"],
        "c": "{{STAGE[INPUT.s]}}",
    }
    assert references(value) == {
        Reference("INPUT", "x"),
        Reference("DOC", "y"),
        Reference("CONTEXT", None),
        Reference("TIME", None),
        Reference("STAGE", None),
        Reference("INPUT", "s"),
    }
    assert holds_template(value)
    assert not holds_template({"a": ["b", {"c": [1.0, 2.0]}]})


def test_a_template_is_compiled_once() -> None:
    assert compiled("{{INPUT.once}} x") is compiled("{{INPUT.once}} x")


@pytest.mark.parametrize("text", ["if(0){{{0}}}' -f $(0 -as [char])", "{ {INPUT.a} }", "{a}", "{{{INPUT.a}}}"])
def test_other_braces_are_text(text: str) -> None:
    assert not holds_template({"value": text})


@pytest.mark.parametrize("text", ["{{INPUT.a}}", "x {{-INPUT.a}}", "{% if a %}b{% endif %}", "{a} {{INPUT.b}}"])
def test_two_braces_are_a_template(text: str) -> None:
    assert holds_template([text])
