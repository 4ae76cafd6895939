"""The kinds of series that drift is measured on, and the sketch of each."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, TypeAlias

from streams.engines.drift.category_sketch import CATEGORY, CategorySketch
from streams.engines.drift.codec import SketchError, read_frame
from streams.engines.drift.number_sketch import NUMBER, NumberSketch
from streams.engines.drift.sketch import EMBEDDING, Sketch, merge_all

SeriesKind: TypeAlias = Literal["embedding", "number", "category"]
AnySketch: TypeAlias = Sketch | NumberSketch | CategorySketch

_READERS: Final[Mapping[int, Callable[[bytes], AnySketch]]] = {
    EMBEDDING: Sketch.from_bytes,
    NUMBER: NumberSketch.from_bytes,
    CATEGORY: CategorySketch.from_bytes,
}


def empty_sketch(kind: SeriesKind, dimensions: int | None = None) -> AnySketch:
    """The sketch of no values of ``kind``. Embeddings need their ``dimensions``; raises :class:`SketchError`
    without them."""
    if kind == "number":
        return NumberSketch.empty()
    if kind == "category":
        return CategorySketch.empty()
    if dimensions is None:
        raise SketchError("a sketch of embeddings needs their dimensions")
    return Sketch.empty(dimensions)


def kind_of(sketch: AnySketch) -> SeriesKind:
    """What a sketch holds."""
    if isinstance(sketch, NumberSketch):
        return "number"
    return "category" if isinstance(sketch, CategorySketch) else "embedding"


def sketch_from_bytes(data: bytes) -> AnySketch:
    """Read any sketch's ``to_bytes``. Raises :class:`SketchError` saying what is wrong with the bytes."""
    kind, _, _ = read_frame(data)
    read = _READERS.get(kind)
    if read is None:
        raise SketchError(f"the sketch is of kind {kind}, which this program does not know")
    return read(data)


def merge_bytes(rows: Sequence[bytes]) -> AnySketch | None:
    """The sketch of everything in the ``to_bytes`` of any sketches, to the bit as if each were read and then all
    merged; ``None`` when there are none. Raises :class:`SketchError`."""
    if len(rows) > 1 and all(read_frame(data)[0] == EMBEDDING for data in rows):
        return Sketch.merged(rows)
    return merge_all(sketch_from_bytes(data) for data in rows)
