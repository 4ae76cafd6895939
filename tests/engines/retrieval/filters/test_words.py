"""Words and stems."""

import pytest

from streams.engines.retrieval.filters.stem import stem
from streams.engines.retrieval.filters.words import stems, tokens

# Examples of Porter's paper.
PORTER = """caresses caress, ponies poni, ties ti, caress caress, cats cat, feed feed, agreed agre, plastered
plaster, bled bled, motoring motor, sing sing, conflated conflat, troubled troubl, sized size,
hopping hop, tanned tan, falling fall, hissing hiss, fizzed fizz, failing fail, filing file, happy
happi, sky sky, relational relat, conditional condit, rational ration, valenci valenc, hesitanci
hesit, digitizer digit, conformabli conform, radicalli radic, differentli differ, vileli vile,
analogousli analog, vietnamization vietnam, predication predic, operator oper, feudalism feudal,
decisiveness decis, hopefulness hope, callousness callous, formaliti formal, sensitiviti sensit,
sensibiliti sensibl, triplicate triplic, formative form, formalize formal, electriciti electr,
electrical electr, hopeful hope, goodness good, revival reviv, allowance allow, inference infer,
airliner airlin, gyroscopic gyroscop, adjustable adjust, defensible defens, irritant irrit,
replacement replac, adjustment adjust, dependent depend, adoption adopt, homologou homolog,
communism commun, activate activ, angulariti angular, homologous homolog, effective effect,
bowdlerize bowdler, probate probat, rate rate, cease ceas, controll control, roll roll, drinking
drink, drinks drink, generalizations gener, oscillators oscil"""


@pytest.mark.parametrize(
    ("word", "expected"), [tuple(pair.split()) for pair in PORTER.replace("\n", " ").split(",")], ids=str
)
def test_stems_of_the_paper(word: str, expected: str) -> None:
    assert stem(word) == expected


def test_other_words_are_their_own_stem() -> None:
    assert [stem(word) for word in ("is", "fälle", "x1s", "流感s")] == ["is", "fälle", "x1s", "流感s"]


def test_tokens() -> None:
    assert tokens("It's COVID-19, über_alles!") == ["It", "s", "COVID", "19", "über_alles"]
    assert tokens("流感 outbreak") == ["流", "感", "outbreak"]


def test_stems_keep_capitals_only_when_asked() -> None:
    assert stems("Drinking DRINKS", case_sensitive=False) == {"drink"}
    assert stems("Drinking Drinks drinks", case_sensitive=True) == {"Drink", "drink"}
