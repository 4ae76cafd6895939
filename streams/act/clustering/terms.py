"""The clusters' own words: class-based tf-idf over the texts of their members.

A term's weight in a cluster is ``tf · log(1 + A / f)``: its share of the cluster's terms, times how rare it is
over all clusters (``f`` occurrences in all, ``A`` terms in a cluster on average). Grootendorst, BERTopic, 2022,
arXiv:2203.05794, section 3.3.
"""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from streams.act.clustering.algorithms import Labels

KEYWORDS = 10
MOST_TEXTS = 20_000
"""Texts whose words are counted at most, evenly spread over the documents."""
_VOCABULARY = 50_000
# What cut addresses and HTML entities leave in texts from the web.
_NOT_WORDS = frozenset(("amp", "http", "https", "quot"))
# Words of three letters or more; addresses are not words.
_PATTERN = r"(?u)(?<![\w/.@:])[^\W\d_][\w'’-]+\w\b(?!://)"


def keywords(texts: Sequence[str], labels: Labels, clusters: int, count: int = KEYWORDS) -> list[list[str]]:
    """For each cluster ``0 … clusters-1`` its ``count`` weightiest terms, weightiest first. ``labels`` has one
    entry per text; negative ones belong to no cluster. Clusters without words have an empty list."""
    feature_extraction: Any = importlib.import_module("sklearn.feature_extraction.text")
    sparse: Any = importlib.import_module("scipy.sparse")
    members = np.flatnonzero(labels >= 0)
    members = members[:: -(-len(members) // MOST_TEXTS) or 1]
    vectorizer = feature_extraction.CountVectorizer(
        stop_words=sorted(feature_extraction.ENGLISH_STOP_WORDS | _NOT_WORDS),
        token_pattern=_PATTERN,
        max_features=_VOCABULARY,
        dtype=np.float32,
    )
    try:
        documents = vectorizer.fit_transform([texts[index] for index in members.tolist()])
    except ValueError as error:
        if "empty vocabulary" not in str(error):
            raise
        return [[] for _ in range(clusters)]
    belongs = sparse.csr_array(
        (np.ones(len(members), dtype=np.float32), (labels[members], np.arange(len(members)))),
        shape=(clusters, len(members)),
    )
    frequencies = (belongs @ documents).tocsr()
    sizes = np.asarray(frequencies.sum(axis=1)).ravel()
    rarity = np.log1p(sizes.mean() / np.asarray(frequencies.sum(axis=0)).ravel())
    names = vectorizer.get_feature_names_out()
    found: list[list[str]] = []
    for cluster in range(clusters):
        row = slice(frequencies.indptr[cluster], frequencies.indptr[cluster + 1])
        terms = frequencies.indices[row]
        weights = frequencies.data[row] * rarity[terms]
        # Ties by the alphabet, so that the same texts give the same words.
        order = np.lexsort((terms, -weights))[:count]
        found.append([str(names[terms[index]]) for index in order])
    return found
