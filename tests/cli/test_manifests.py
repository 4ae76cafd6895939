"""What files of definitions may not hold, and how it is said."""

import pytest

from schemas.manifest import ManifestError, expand
from tests.cli.manifest import parse_manifest


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("kind: alert\nname: a\nfilter: &f {AND: [*f]}\n", r"\(line 3\): not YAML: an alias contains itself"),
        ("kind: alert\nname: a\nfilter: &f\n  AND: &g\n    - {OR: *g}\n", r"\(line 4\): .*contains itself"),
        (
            "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
            + "".join(
                f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdef", "bcdefg", strict=True)
            ),
            r"more than 1,000,000 values",
        ),
        ("a: &a x\nb: *a\nc: " + "[" * 3_000 + "]" * 3_000, "not YAML: nested too deep"),
        ("kind: alert\nname: a\nfilter: {1: 2, true: x}\n", r"\(line 3\): not YAML: the key 1 is not text"),
        ("kind: alert\nname: a\nfilter: {on: 2}\n", "the key on is not text; write it in quotes"),
        ('{"kind": "alert", "name": "a", "filter": {"x": 1, "x": 2}}', "line 1.*the key 'x' is there twice"),
        ('{"kind": "alert", "name": "a", "filter": {"x": ":", "\\u0078": 2}}', "the key 'x' is there twice"),
        ('\n{"kind": "alert",\n "name": "a", "name": "a", "filter": {"x": 1}}', "the key 'name' is there twice"),
        ("kind: alert\nname: a\nfilter: {}\n", "filter: an empty filter lets every document through"),
        (
            "kind: alert\nname: a\nfilter: {x: 1}\n---\n" * 2,
            "object 2 .* alert 'a' is defined already in .*object 1",
        ),
        (
            "kind: alert\nname: a\nfilter: {x: 1}\n---\nkind: retriever\nretriever_name: a retriever\n",
            "object 2 .* retriever 'a retriever' is defined already",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(ManifestError, match=problem):
        expand(parse_manifest(text, "a.json" if text.lstrip().startswith("{") else "a.yaml"))


def test_an_alias_may_be_used_as_often_as_it_takes() -> None:
    text = "kind: alert\nname: a\nfilter: {OR: [&x {x: 1}, {AND: [*x, {y: 2}]}]}\n"
    assert len(expand(parse_manifest(text, "a.yaml"))) == 2
