"""Output that never ends a command."""

import io
import os
import sys

import pytest

from tfp_flows.commands import output


def _stream(encoding, errors="strict"):
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=errors)


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("ascii", b"8.6 +- 0.1 -0.5 \\xe9 \\u5199 \\udcff"),
        ("latin-1", b"8.6 \xb1 0.1 -0.5 \xe9 \\u5199 \\udcff"),
    ],
)
def test_what_an_encoding_does_not_have_is_written_plainly(monkeypatch, encoding, expected):
    out, err = _stream(encoding), _stream(encoding)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with output.forgiving():
        print("8.6 ± 0.1 −0.5 é 写 \udcff", end="")
        print("±", end="", file=sys.stderr)
    assert sys.stdout is out
    assert out.buffer.getvalue() == expected
    assert err.buffer.getvalue() in (b"+-", b"\xb1")


def test_a_closed_pipe_is_no_failure(monkeypatch):
    read, write = os.pipe()
    out = open(write, "w", encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", out)
    with output.forgiving():
        print("read")
        sys.stdout.flush()
        assert os.read(read, 5) == b"read\n"
        os.close(read)
        for _ in range(3):
            print("lost")
            sys.stdout.flush()
        print("left in the buffer")
    out.close()  # as Python does in the end
