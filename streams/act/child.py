"""The process that runs actions: reads one call per frame from standard input, answers on standard output.

It holds no connection to anything. It ends when its standard input does, that is when the worker has gone,
even in the middle of an action; on Linux the kernel kills it too, for code that does not let go of the
interpreter.
"""

import ctypes
import os
import queue
import signal
import sys
import threading
import time
import traceback
from typing import Any, BinaryIO

from streams.act.failures import ActionError
from streams.act.frames import WORD, chunks_of, value_of, word
from streams.act.progress import Reporter, reporting

_PR_SET_PDEATHSIG = 1
_REPORT_SECONDS = 0.1
"""Progress is told at most this often: nobody reads faster."""


def main() -> None:
    """Serve calls until standard input ends."""
    # The worker decides when its children stop, not a Ctrl-C that reaches the whole terminal.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    answers = os.fdopen(os.dup(1), "wb")
    # A library that prints must not get between two answers.
    os.dup2(2, 1)
    calls: queue.SimpleQueue[list[bytearray]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, calls), daemon=True).start()
    while True:
        parts = calls.get()
        with reporting(_reporter(answers)):
            answer = _answer(parts)
        _send(answers, answer)


def _send(answers: BinaryIO, answer: tuple[str, Any]) -> None:
    answers.writelines(chunks_of(answer))
    answers.flush()


def _reporter(answers: BinaryIO) -> Reporter:
    told = float("-inf")

    def report(fraction: float, words: str) -> None:
        nonlocal told
        if (now := time.monotonic()) - told >= _REPORT_SECONDS:
            told = now
            _send(answers, ("progress", (fraction, words)))

    return report


def _read(source: BinaryIO, calls: "queue.SimpleQueue[list[bytearray]]") -> None:
    while (head := source.read(WORD)) and len(head) == WORD:
        sizes = [word(source.read(WORD)) for _ in range(word(head))]
        parts = [bytearray(size) for size in sizes]
        for part in parts:
            view = memoryview(part)
            while view.nbytes and (count := source.readinto(view)):  # type: ignore[attr-defined]
                view = view[count:]
        calls.put(parts)
    os._exit(0)


def _answer(parts: list[bytearray]) -> tuple[str, Any]:
    """``("done", result)``, ``("refused", words)`` or ``("raised", words)``."""
    try:
        function, payload = value_of(parts)
        return "done", function(payload)
    except ActionError as error:
        return "refused", str(error)
    except (ValueError, TypeError) as error:
        # What libraries raise for parameters and data they cannot take.
        return "refused", f"{type(error).__name__}: {error}"
    except Exception as error:
        # Anything else is told to the worker, which fails the job with it; the story goes to its log.
        traceback.print_exc()
        return "raised", f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    main()
