"""Manifests written in a test."""

from pathlib import Path
from tempfile import TemporaryDirectory

from schemas.manifest import ManifestObject
from streams.cli.manifests import read_manifest


def parse_manifest(text: str, file: str) -> list[ManifestObject]:
    """The objects of a text, read from a file of that name."""
    with TemporaryDirectory() as folder:
        path = Path(folder, file)
        path.write_text(text)
        return read_manifest([path])
