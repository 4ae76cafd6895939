"""The view's reads, one file per noun. Each takes a connection; the routes give it one snapshot."""
