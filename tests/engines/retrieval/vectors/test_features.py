"""Features by URI, by index name and by bare name."""

import pytest

from streams.engines.retrieval.vectors.features import resolve_feature

E5 = "mixpeek://text_extractor@v1/e5"
OTHER = "mixpeek://other@v2/e5"


@pytest.mark.parametrize(
    ("wanted", "names", "expected"),
    [
        (E5, [OTHER, E5], E5),
        (E5, [OTHER], None),
        (E5, ["text_extractor_v1_e5", "e5"], "text_extractor_v1_e5"),
        (E5, ["e5", OTHER], "e5"),
        ("text_extractor_v1_e5", [E5, OTHER], E5),
        ("e5", [E5], E5),
        ("e5", [E5, OTHER], None),
        ("e5", [E5, OTHER, "e5"], "e5"),
        ("sdk_8", ["sdk_8"], "sdk_8"),
        ("sdk_8", ["sdk_9"], None),
        ("e5", [], None),
    ],
)
def test_resolution(wanted: str, names: list[str], expected: str | None) -> None:
    assert resolve_feature(wanted, dict.fromkeys(names)) == expected
