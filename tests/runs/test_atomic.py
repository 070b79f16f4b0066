"""Files are seen whole or not at all, and errors name them."""

import errno
import os

import pytest

from tfp_flows import runs


@pytest.mark.parametrize("content", ["grün\n", b"\x00\xff\r\n"])
def test_text_and_bytes_are_written_as_they_are(tmp_path, content):
    runs.write_atomically(tmp_path / "file", "an older one, which is longer")
    runs.write_atomically(tmp_path / "file", content)
    expected = content if isinstance(content, bytes) else content.encode()
    assert (tmp_path / "file").read_bytes() == expected
    assert os.listdir(tmp_path) == ["file"]


def test_it_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    told = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, real=real: (told.append(name), real(*a))[1])
    runs.write_atomically(tmp_path / "file", "text")
    assert told == ["fsync", "replace", "fsync"]


@pytest.mark.parametrize("operation", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_is_named(tmp_path, monkeypatch, operation):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    runs.write_atomically(tmp_path / "file", "old")
    monkeypatch.setattr(os, operation, full)
    with pytest.raises(OSError) as error:
        runs.write_atomically(tmp_path / "file", "new")
    assert error.value.filename == str(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "old" and os.listdir(tmp_path) == ["file"]


def test_all_of_a_folder_is_brought_to_the_disk(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("one", "a/two", "a/b/three"):
        (tmp_path / name).write_text(name)
    synced, real = set(), os.fsync
    monkeypatch.setattr(os, "fsync", lambda d: (synced.add(os.readlink(f"/proc/self/fd/{d}")), real(d)))
    runs.sync_folder(tmp_path)
    assert {os.path.relpath(path, tmp_path) for path in synced} == {
        *(".", "a", "a/b"),
        *("one", "a/two", "a/b/three"),
    }
    with pytest.raises(FileNotFoundError):
        runs.sync_folder(tmp_path / "nothing")
