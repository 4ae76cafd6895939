"""schemathesis over the OpenAPI document as it comes, every check and no settings, against a running service
with a real key: nothing is found.

``make fuzz`` looks longer, and elsewhere each time (CONTRIBUTING.md).
"""

import asyncio
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from streams.runtime.agent import Context
from tests.fuzz.service import KEY, service
from tests.support import TestBroker

SHORT = "--phases examples,coverage,fuzzing,stateful --max-examples 3 --max-time 65 --seed 20260302"
"""One seed and little time, for every run of the suite."""
ARGUMENTS = shlex.split(os.environ.get("TIDEWATCH_FUZZ", SHORT))
SECONDS = 3_600 if "TIDEWATCH_FUZZ" in os.environ else 600
STREAM = "/v1/alerts/executions/stream"
"""A call of it takes as long as schemathesis is patient, ten seconds: it has a run of its own, which is not."""
OF_THE_STREAM = shlex.split(
    "--phases examples,coverage,fuzzing --max-examples 10 --max-time 10 --request-timeout 0.5"
)


async def test_what_is_answered_is_what_the_document_says(
    context: Context, real_kafka: TestBroker, tmp_path: Path
) -> None:
    async with service(context) as url:
        for arguments in ((*ARGUMENTS, "--exclude-path", STREAM), (*OF_THE_STREAM, "--include-path", STREAM)):
            code, told = await schemathesis(url, arguments, tmp_path)
            assert code == 0, told[-20_000:]


async def schemathesis(url: str, arguments: Sequence[str], folder: Path) -> tuple[int | None, str]:
    """How a run over the document ended, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
        *("--header", f"Authorization: Bearer {KEY}", "--no-color", "--warnings", "off"),
        *("--continue-on-failure", "--generation-database", "none", *arguments),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        told, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode, told.decode()
