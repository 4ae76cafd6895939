"""The demo as a user runs it: its report must equal a plain count over the same data."""

import asyncio
import os
import sys
from collections import Counter
from pathlib import Path

import orjson

from streams.cli.tweets import WHEEL, cache_folder, read_tweets

LIMIT_SECONDS = 240.0
"""For a machine that is busy with the rest of the suite; alone it takes well under a minute."""


async def test_the_report_equals_a_plain_count(tmp_path: Path) -> None:
    report = tmp_path / "facts.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streams.cli.main", "demo", "--once", "--report", str(report)),
        env={name: value for name, value in os.environ.items() if not name.startswith("TIDEWATCH_")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), LIMIT_SECONDS)
    except TimeoutError:
        process.terminate()
        await process.wait()
        raise
    assert process.returncode == 0, output.decode()[-3_000:]
    facts = orjson.loads(report.read_bytes())

    tweets = read_tweets(cache_folder() / WHEEL)
    assert facts["documents"] == len(tweets) == 63_326
    by_name = {alert["name"]: alert for alert in facts["alerts"]}
    ebola = Counter(f"{tweet.posted_at:%Y-%m}" for tweet in tweets if "ebola" in tweet.text.lower())
    assert by_name["Ebola"]["by_month"] == ebola
    assert by_name["Ebola"]["executions"] == sum(ebola.values())
    assert ebola["2014-10"] == 1_826
    texas = sum(
        "ebola" in text and ("texas" in text or "dallas" in text) for text in (t.text.lower() for t in tweets)
    )
    assert by_name["Ebola in Texas"]["executions"] == texas
    assert by_name["Measles outbreak"]["executions"] > 0

    drift = next(trigger for trigger in facts["triggers"] if trigger["trigger_type"] == "conditional")
    # Every week from the first tweet's to the last one's.
    assert drift["checks"] == 200
    assert [fire["at"][:10] for fire in drift["fires"]] == ["2011-09-08", "2012-08-30", "2014-10-23"]
    assert all(fire["value"] > fire["threshold"] for fire in drift["fires"])
    event = next(trigger for trigger in facts["triggers"] if trigger["trigger_type"] == "event")
    assert len(event["fires"]) == len(tweets) // 25_000
    assert {action["status"] for action in facts["actions"]} == {"completed"}
    assert len(facts["actions"]) == len(drift["fires"]) + len(event["fires"])
    assert all(action["num_clusters"] == 8 for action in facts["actions"])
    assert len(facts["curl"]) == 5
