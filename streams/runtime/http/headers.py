"""The names of this API's own headers."""

from typing import Final

DEFINITIONS_VERSION: Final = "X-Definitions-Version"
"""Of an answer: the version of the last write of definitions that the server has committed."""
WRITE_TOKEN: Final = "X-Write-Token"  # noqa: S105
"""Of the answer of a write: names what was written."""
MIN_POSITION: Final = "X-Min-Position"
"""Of a read: writes that must be applied before it is answered."""
APPLIED_AT: Final = "X-Applied-At"
"""Of a read of results: every result recorded before this instant was in the view that was read."""
