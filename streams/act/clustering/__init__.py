"""Clustering of documents by scikit-learn: pure functions from texts or vectors to clusters."""
