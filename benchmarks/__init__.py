"""One file per claim of the README; the last line each prints is one JSON object."""
