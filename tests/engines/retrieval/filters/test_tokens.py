"""Words and stems: fixed examples, the two ways to cut against each other, and against the annex's own rules."""

import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from uniseg.linebreak import LineBreak, line_break
from uniseg.wordbreak import words as segments

from streams.engines.retrieval.filters.stem import stem
from streams.engines.retrieval.filters.tokens import MAX_TOKEN, stems, tokens, tokens_by_class
from streams.engines.retrieval.filters.values import lower
from streams.engines.retrieval.filters.word_classes import WordClasses, word_class


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's COVID-19, über_alles!", "it's covid 19 über_alles"),
        ("Don’t “quote” the U.S. – 442,000 or 3.5%…", "don’t quote the u.s 442,000 or 3.5"),
        ("a:b 1:2 a,b 1,2 a;b 1;2 a.1 1.a a'b 1'2", "a:b 1 2 a b 1,2 a b 1;2 a 1 1 a a'b 1'2"),
        ("_ __ _a a_ a__1 _.a 1_.2 x.y.z .a. 'a' ..", "_a a_ a__1 a 1_ 2 x.y.z a a"),
        ("http://on-msn.com/lffdmg?x=1 me@x.org", "http on msn.com lffdmg x 1 me x.org"),
        ("流感 outbreak ひらカタカナ한국어 東京123", "流 感 outbreak ひ ら カタカナ 한국어 東 京 123"),
        ("ภาษาไทย ລາວ", "ภาษาไทย ລາວ"),
        ("צה\"ל ג'ירפה ז'", "צה\"ל ג'ירפה ז'"),
        ("e\u0301te\u0301 soft\u00adhyphen", "e\u0301te\u0301 soft\u00adhyphen"),
        ("😀👍🏽 👩‍👩‍👧 🇸🇪🇩🇰 © 2024™ #️⃣ # *", "😀 👍🏽 👩‍👩‍👧 🇸🇪 🇩🇰 © 2024 ™ #️⃣"),
        ("ΟΔΟΣ İstanbul ẞ K", "οδοσ istanbul ß k"),
        ("", ""),
        (" -–! ", ""),
    ],
)
def test_cuts(text: str, expected: str) -> None:
    assert tokens(text) == tokens_by_class(text) == expected.split()


def test_case_is_kept_when_asked() -> None:
    assert tokens("Don’t PANIC, Été", case_sensitive=True) == ["Don’t", "PANIC", "Été"]
    assert tokens("流 Σ", case_sensitive=True) == ["流", "Σ"]


_CP1252 = bytes(set(range(256)) - {0x81, 0x8D, 0x8F, 0x90, 0x9D}).decode("cp1252")
_PIECES = st.sampled_from(["a", "B", "1", "_", ".", ",", "'", "’", ":", ";", " ", "-", "é", "\n", "word", "“"])


@settings(max_examples=500)
@given(st.one_of(st.text(_CP1252), st.text(st.characters(max_codepoint=127)), st.lists(_PIECES).map("".join)))
@example("a" * 255)
@example("a" * 256)
@example(" " + "a." * 300 + "1,2")
@example("x " * 100 + "_" * 256 + "a")
@example("\u00a9 x")
def test_the_fast_way_equals_the_other(text: str) -> None:
    assert tokens(text) == tokens_by_class(text)
    assert tokens(text, case_sensitive=True) == tokens_by_class(text, case_sensitive=True)


_WORDS = set("AHNKSsIP")


def by_the_annex(text: str) -> list[str]:
    """The segments of the annex that hold something of a word; runs of scripts that need a dictionary as one."""
    found: list[tuple[int, str]] = []
    at = 0
    for segment in segments(text):
        kinds = [word_class(ord(char)) for char in segment]
        if _WORDS.intersection(kinds) or kinds.count("R") == 2 or (kinds[0] == "k" and "T" in kinds):
            dictionary = line_break(segment[0]) == LineBreak.SA
            if dictionary and found and found[-1][0] == at and line_break(found[-1][1][0]) == LineBreak.SA:
                found[-1] = (at + len(segment), found[-1][1] + segment)
            else:
                found.append((at + len(segment), segment))
        at += len(segment)
    return [word for _, word in found]


# In two places Lucene differs, and so do we: a mark or joiner that stands alone may begin a word (the annex gives
# it to the space before), and a joiner takes a pictograph only to another. Hence no lone marks here, and no joiner
# before a pictograph but in one.
_ANNEX = st.sampled_from(
    [
        *(
            "a",
            "B",
            "1",
            "٣",
            "_",
            ".",
            ",",
            "'",
            '"',
            "’",
            ":",
            ";",
            "·",
            " ",
            "\n",
            "-",
            "é",
            "א",
            "ב",
            "ア",
            "ー",
        ),
        *(
            "日",
            "本",
            "あ",
            "한",
            "ก",
            "ข",
            "ລ",
            "😀",
            "♥",
            "🇸",
            "🇪",
            "#",
            "*",
            "ａ",
            "１",
            "々",
            "\u202f",
            "👍🏽",
        ),
        *("a\u0301", "1\u0301", "א\u05b0", "ア\u0301", "a\u00ad", "日\ufe0f", "กั", "a.\u0301", "_\u0301"),
        *("#\ufe0f\u20e3", "1\u20e3", "a\u200d-", "a\u200db", "1'\u200d1", "👩\u200d👧", "'\u0301", "Σ"),
    ]
)


@settings(max_examples=500)
@given(st.lists(_ANNEX, max_size=24).map("".join))
def test_words_are_the_annex_s(text: str) -> None:
    assert tokens_by_class(text, case_sensitive=True) == by_the_annex(text)


@settings(max_examples=500)
@given(st.text(st.characters(exclude_categories=()), max_size=40))
def test_any_text_has_words_in_its_order(text: str) -> None:
    at = 0
    for word in tokens(text, case_sensitive=True):
        at = text.index(word, at) + len(word)
    assert tokens(text) == tokens(lower(text))


def test_lower_case_is_of_the_same_class() -> None:
    """So that it does not matter whether cutting or lower-casing comes first."""
    classes = WordClasses()
    for code in range(0x110000):
        char = chr(code)
        small = lower(char)
        assert len(small) == 1
        if small != char:
            assert classes[ord(small)] == classes[code]


def test_lower_case_looks_at_no_neighbour() -> None:
    letters = [chr(code) for code in range(0x20000) if unicodedata.category(chr(code)) == "Lu"]
    text = "".join(letters) + "ΣΑΣ ΟΔΟΣ. AΣ"
    assert lower(text) == "".join(map(lower, text))
    assert lower("İ") == "i"


@pytest.mark.parametrize(
    ("text", "lengths"),
    [
        ("a" * 255, [255]),
        ("a" * 256, [255, 1]),
        ("x " + "é" * 600, [1, 255, 255, 90]),
        ("𐐨" * 200, [127, 73]),  # two UTF-16 units each, and a pair is never cut
        ("a" * 254 + ".b", [254, 1]),  # what joins needs its neighbour within the limit
        ("_" * 300 + "a", [46]),  # 255 of them alone are no word
    ],
)
def test_long_words_are_cut(text: str, lengths: list[int]) -> None:
    assert [len(word) for word in tokens(text)] == lengths
    assert MAX_TOKEN == 255


def test_hostile_text_takes_linear_time() -> None:
    for piece in ("_", "_\u0301", "a.", "\u0301", "\u200d", "א'", "1_", "🇸", "#\ufe0f", "K_."):
        tokens_by_class(piece * 200_000)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("drinking drinks drink", "drink"),
        ("consigned consignment consigning", "consign"),
        ("generously generous", "generous"),
        ("skies sky", "sky"),
        ("dying die", "die"),
        ("dog's dog’s dogs", "dog"),
        ("don't don’t", "don't"),
    ],
)
def test_stems(words: str, expected: str) -> None:
    assert {stem(word) for word in words.split()} == {expected}


def test_other_words_are_their_own_stem() -> None:
    words = ["is", "fälle", "流", "442,000", "\ud800"]
    assert [stem(word) for word in words] == words


def test_stems_are_those_of_lower_case_words() -> None:
    assert stems("Drinking DRINKS drinks") == {"drink"}


def test_threads_may_stem_at_once() -> None:
    words = [f"w{'ing' * (number % 5)}{number}ations" for number in range(2_000)]
    expected = [stem(word) for word in words]
    stem.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(stem, words)) == expected
