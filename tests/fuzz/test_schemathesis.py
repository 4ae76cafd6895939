"""schemathesis over the OpenAPI document as it comes, every check and no settings, against a running service
with a real key: nothing is found.

``make fuzz`` looks longer, and elsewhere each time (CONTRIBUTING.md).
"""

import asyncio
import os
import shlex
import sys
from pathlib import Path

from streams.runtime.agent import Context
from tests.fuzz.service import KEY, service
from tests.support import TestBroker

SHORT = "--phases examples,coverage,fuzzing,stateful --max-examples 3 --max-time 75 --seed 20260302"
"""One seed and little time, for every run of the suite."""
ARGUMENTS = shlex.split(os.environ.get("TIDEWATCH_FUZZ", SHORT))
SECONDS = 3_600 if "TIDEWATCH_FUZZ" in os.environ else 600


async def test_what_is_answered_is_what_the_document_says(
    context: Context, real_kafka: TestBroker, tmp_path: Path
) -> None:
    async with service(context) as url:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
            *("--header", f"Authorization: Bearer {KEY}", "--no-color", "--warnings", "off"),
            *("--continue-on-failure", "--generation-database", "none", *ARGUMENTS),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            told, _ = await asyncio.wait_for(process.communicate(), SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
    assert process.returncode == 0, told.decode()[-20_000:]
