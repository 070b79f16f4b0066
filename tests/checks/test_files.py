"""Files that somebody else may have made."""

import os

import pytest

from tfp_flows.checks import UserError, files, sizes


def test_a_file_is_no_longer_than_it_may_be(tmp_path):
    """The file is a hole: nothing of it is read."""
    with open(tmp_path / "big", "wb") as file:
        file.truncate(sizes.MOST_GRAPH * 8)
    for most in (sizes.MOST_TEXT, sizes.MOST_GRAPH):
        with pytest.raises(UserError, match="big has 8,589,934,592 bytes, at most"):
            files.read_bytes(tmp_path / "big", most)
    (tmp_path / "small").write_bytes(b"12345")
    assert files.read_bytes(tmp_path / "small", 5) == b"12345"
    with pytest.raises(UserError, match="has 5 bytes, at most 4 are read"):
        files.read_bytes(tmp_path / "small", 4)


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "inner").mkdir()
    os.mkfifo(tmp_path / "inner" / "pipe")
    for refused in (
        lambda: files.read_bytes(tmp_path / "pipe"),
        lambda: files.read_json("/dev/zero"),
        lambda: files.check_folder(tmp_path / "inner"),
        lambda: files.check_folder(tmp_path),
    ):
        with pytest.raises(UserError, match="is no file"):
            refused()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"[" * 10**6, "is nested too deeply"), (b"{", "is no JSON"), (b"\xff", "is no JSON"), (b"", "is no")],
)
def test_what_is_no_json(tmp_path, content, message):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(UserError, match=rf"x.json {message}[^\n]*\Z"):
        files.read_json(tmp_path / "x.json")
