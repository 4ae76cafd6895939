"""Retrieval: what a retriever asks, of one arriving document or of many stored ones. Pure.

``filters`` (the filter language) and ``vectors`` (cosines, features, the built-in embedder) are what everything
rests on; ``templates`` fill parameters in. ``stages`` are the steps of a retriever, ``execution`` runs them;
``percolate`` checks standing alerts against arriving documents; ``explain`` says why one matched or not.
"""
