"""What ``tidewatch check`` reads, and what becomes of the files that it writes."""

import functools
import gzip
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streams.cli.output import refuse_overwriting
from streams.cli.process import CommandError
from tests.cli.processes import tidewatch
from tests.cli.test_check import run, written


@pytest.mark.parametrize(
    ("conditions", "matching"),
    [
        ({"tag": "Flu"}, {"1", "2"}),
        ({"tag": "Flu", "case_sensitive": True}, {"1"}),
        ({"AND": [{"field": "tag", "operator": "eq", "value": "Flu", "case_sensitive": True}]}, {"1"}),
        ({"case_sensitive": True, "OR": [{"AND": [{"tag": {"contains": "Flu"}}]}]}, {"1"}),
        ({"field": "tag", "operator": "phrase", "value": "FLU", "case_sensitive": True}, {"1", "2"}),
        ({"field": "tag", "operator": "words", "value": "FLU", "case_sensitive": True}, {"1", "2"}),
    ],
)
def test_a_filter_compares_in_any_case_unless_it_says_otherwise(
    tmp_path: Path, conditions: dict[str, Any], matching: set[str]
) -> None:
    definitions = written(tmp_path / "a.jsonl", [{"kind": "alert", "name": "a", "filter": conditions}])
    documents = written(tmp_path / "d.jsonl", [{"tag": "Flu"}, {"tag": "fLU"}, {"tag": "rain"}])
    assert {item["document_id"] for item in run(definitions, documents)[1]} == matching


ALERT = "kind: alert\nname: a\nfilter: {x: 1}\n"


def test_a_file_that_is_read_is_never_written(tmp_path: Path) -> None:
    definitions, documents = tmp_path / "a.yaml", tmp_path / "d.jsonl"
    definitions.write_text(ALERT)
    documents.write_text('{"x": 1}\n')
    link, other = tmp_path / "link", tmp_path / "other"
    link.symlink_to(documents)
    for outputs in ((documents,), (link,), (None, documents), (definitions,), (other, other)):
        with pytest.raises(CommandError, match="name another"):
            refuse_overwriting(outputs, (definitions, documents))
    refuse_overwriting((other, None), (definitions, documents))
    failed = tidewatch("check", str(definitions), str(documents), "--out", str(documents))
    assert (failed.returncode, b"would be overwritten" in failed.stderr) == (1, True)
    assert documents.read_text() == '{"x": 1}\n'
    assert definitions.read_text() == ALERT


def test_a_run_that_fails_leaves_its_outputs_as_they_were(tmp_path: Path) -> None:
    definitions, documents, out = tmp_path / "a.yaml", tmp_path / "d.jsonl", tmp_path / "out"
    definitions.write_text(ALERT)
    documents.write_text('{"x": 1}\n{')
    out.write_text("old")
    assert tidewatch("check", str(definitions), str(documents), "--out", str(out)).returncode == 1
    assert out.read_text() == "old"
    assert sorted(tmp_path.iterdir()) == [definitions, documents, out]
    documents.write_text('{"x": 1}\n')
    assert tidewatch("check", str(definitions), str(documents), "--out", str(out)).returncode == 0
    assert b"matches" in out.read_bytes()


def test_an_interrupted_run_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    definitions, out = tmp_path / "a.yaml", tmp_path / "out"
    definitions.write_text(ALERT)
    command = [sys.executable, "-m", "streams.cli.main", "check", str(definitions), "-", "--out", str(out)]
    # A shell that runs the suite in the background has it ignore this signal, and children inherit that.
    heeding = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heeding)
    assert process.stdin is not None
    # Once a pipe's worth and more has been taken, the documents are being read.
    process.stdin.write(b'{"x": 1}\n' * 100_000)
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said.strip()) == (130, b"error: interrupted")
    assert list(tmp_path.iterdir()) == [definitions]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_standard_output_that_takes_nothing_is_one_line_of_error(tmp_path: Path, options: tuple[str, ...]) -> None:
    definitions, documents = tmp_path / "a.yaml", tmp_path / "d.jsonl"
    definitions.write_text(ALERT)
    documents.write_text('{"x": 1}\n')
    command = [sys.executable, "-m", "streams.cli.main", "check", str(definitions), str(documents), *options]
    with open("/dev/full", "wb") as full:
        failed = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert failed.returncode == 1
    assert failed.stderr.splitlines() == [b"error: [Errno 28] No space left on device: 'standard output'"]
    closed = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *command], stderr=subprocess.PIPE, timeout=60)
    assert closed.returncode == 1
    assert closed.stderr == b"error: standard output is closed\n"


def test_errors_of_files_name_them(tmp_path: Path) -> None:
    definitions, documents = tmp_path / "a.yaml", tmp_path / "d.jsonl"
    definitions.write_text(ALERT)
    documents.write_text('{"x": 1}\n')
    no_archive, broken = tmp_path / "x.jsonl.gz", tmp_path / "y.jsonl.gz"
    no_archive.write_bytes(b"text")
    packed = bytearray(gzip.compress(os.urandom(500)))
    packed[10:13] = b"\xff\xff\xff"
    broken.write_bytes(packed)
    for file in (no_archive, broken):
        for arguments in ((str(file), str(documents)), (str(definitions), str(file))):
            failed = tidewatch("check", *arguments)
            assert failed.returncode == 1
            assert failed.stderr.startswith(b"error: %b: " % str(file).encode())
    full = tidewatch("check", str(definitions), str(documents), "--out", "/dev/full")
    assert b"'/dev/full'" in full.stderr


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    definitions = written(tmp_path / "a.jsonl", [{"kind": "alert", "name": "a", "filter": {"x": 1}}])
    documents = written(tmp_path / "d.jsonl", [{"x": 1}])
    for file in (definitions, documents):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert run(definitions, documents)[0].matches == 1
