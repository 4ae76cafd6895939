"""The clusters' own words: what each cluster says more often than all of them together.

A term's weight in a cluster is ``p(t|c) · log(p(t|c) / p(t))``: its part in how far the cluster's words are from
those of all documents (the Kullback-Leibler divergence). Class-based tf-idf (Grootendorst 2022, BERTopic) weighs
how rare a term is, but not whether it is rarer elsewhere: with few clusters it lets ``said`` and ``new`` through.
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
_NOTHING = 1e-9
"""A weight that rounding can make of none."""
# What cut addresses and HTML entities leave in texts from the web.
_NOT_WORDS = frozenset(("amp", "http", "https", "quot"))
# Words of three letters or more; addresses are not words.
_PATTERN = r"(?u)(?<![\w/.@:])[^\W\d_][\w'’-]+\w\b(?!://)"


def keywords(texts: Sequence[str], labels: Labels, clusters: int, count: int = KEYWORDS) -> list[list[str]]:
    """For each cluster ``0 … clusters-1`` its ``count`` weightiest terms, weightiest first: those it says more
    often than all documents do, or, when there are none (it is the only cluster), those it says most. ``labels``
    has one entry per text; texts with negative ones belong to no cluster and only to the whole. Clusters without
    words have an empty list."""
    feature_extraction: Any = importlib.import_module("sklearn.feature_extraction.text")
    sparse: Any = importlib.import_module("scipy.sparse")
    some = np.arange(0, len(texts), -(-len(texts) // MOST_TEXTS) or 1)
    vectorizer = feature_extraction.CountVectorizer(
        stop_words=sorted(feature_extraction.ENGLISH_STOP_WORDS | _NOT_WORDS),
        token_pattern=_PATTERN,
        max_features=_VOCABULARY,
        dtype=np.float32,
    )
    try:
        documents = vectorizer.fit_transform([texts[index] for index in some.tolist()])
    except ValueError as error:
        if "empty vocabulary" not in str(error):
            raise
        return [[] for _ in range(clusters)]
    own = labels[some]
    inside = np.flatnonzero(own >= 0)
    belongs = sparse.csr_array(
        (np.ones(len(inside), dtype=np.float32), (own[inside], inside)), shape=(clusters, len(some))
    )
    counts = (belongs @ documents).tocsr()
    overall = np.asarray(documents.sum(axis=0), dtype=np.float64).ravel()
    overall /= overall.sum()
    names = vectorizer.get_feature_names_out()
    return [
        [str(names[term]) for term in _weightiest(counts, cluster, overall)[:count]] for cluster in range(clusters)
    ]


def _weightiest(counts: Any, cluster: int, overall: Any) -> Any:
    row = slice(counts.indptr[cluster], counts.indptr[cluster + 1])
    terms = counts.indices[row]
    shares = counts.data[row].astype(np.float64)
    shares /= max(shares.sum(), 1.0)
    weights = shares * np.log(shares / overall[terms])
    said = weights > _NOTHING
    if not said.any():
        said, weights = shares > 0, shares
    # Ties by the alphabet, so that the same texts give the same words.
    order = np.lexsort((terms[said], -weights[said].round(12)))
    return terms[said][order]
