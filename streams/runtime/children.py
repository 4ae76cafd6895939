"""Child processes that end with their parent, however the parent ends."""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1


class ChildFailedError(RuntimeError):
    """A child process ended before it was ready, or when it should be running."""


def die_with_parent(expected_parent: int, sent: int = signal.SIGTERM) -> None:
    """Ask the kernel to send this process ``sent`` when its parent thread ends. Linux only; elsewhere the
    parent's own clean-up has to do. Also covers the parent having died before the call."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, sent, 0, 0, 0)
        if os.getppid() != expected_parent:
            os.kill(os.getpid(), sent)


class Child:
    """One child process whose output goes to a log file."""

    def __init__(
        self, name: str, process: asyncio.subprocess.Process, log: Path, stop_signal: signal.Signals
    ) -> None:
        self.name = name
        self.process = process
        self.log = log
        self._stop_signal = stop_signal

    @classmethod
    async def start(
        cls,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        on_parent_death: signal.Signals = signal.SIGTERM,
        stop_signal: signal.Signals = signal.SIGTERM,
        user: str | None = None,
    ) -> "Child":
        """Start a command in a session of its own: a terminal's Ctrl-C reaches only the parent, which stops its
        children in order. With ``user`` it runs as that system user."""
        parent = os.getpid()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
                user=user,
                # Runs after the change of user, which would clear the request.
                preexec_fn=lambda: die_with_parent(parent, on_parent_death),
            )
        return cls(name, process, log, stop_signal)

    def tail(self, lines: int = 15) -> str:
        """The last lines the child wrote."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def check(self) -> None:
        """Raise :class:`ChildFailedError`, with the child's last words, if it has ended."""
        if self.process.returncode is not None:
            raise ChildFailedError(
                f"{self.name} ended with exit code {self.process.returncode}; its log {self.log} ends:\n"
                f"{self.tail()}"
            )

    async def stop(self, patience_seconds: float = 10.0) -> None:
        """Ask it to end, then SIGKILL for one that does not listen."""
        if self.process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, self._stop_signal)
        try:
            async with asyncio.timeout(patience_seconds):
                await self.process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
            await self.process.wait()


def free_port() -> int:
    """A TCP port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def wait_for_port(child: Child, port: int, timeout_seconds: float = 30.0) -> None:
    """Wait until something accepts on ``port``; raises when the child ends or the time is up."""
    try:
        async with asyncio.timeout(timeout_seconds):
            while True:
                child.check()
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                    continue
                # While nobody listens, the kernel may give us this port as our own end: we reach ourselves.
                answered = writer.get_extra_info("sockname") != writer.get_extra_info("peername")
                writer.close()
                if answered:
                    return
    except TimeoutError:
        raise ChildFailedError(
            f"{child.name} did not answer on port {port} within {timeout_seconds:g} s:\n{child.tail()}"
        ) from None
