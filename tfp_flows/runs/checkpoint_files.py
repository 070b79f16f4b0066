"""The files of checkpoints: written so that a crash leaves a good one, read from the newest that is good.

FOLDER/ckpt-N.index, FOLDER/ckpt-N.data-00000-of-00001    a checkpoint of step N, as TensorFlow writes it
FOLDER/checkpoint                                         names those that are whole, the newest as such
FOLDER/writing...                                         what is being written

TensorFlow (2.21) leaves what it wrote in the system's memory: here it is on the disk before it is named, and
older ones are removed after. In each tensor, and in the index, TensorFlow finds any bit that is not as it is
to be, by checksums that it compares whenever it reads them.
"""

import hashlib
import os
import pathlib
import re
import shutil
import stat
import warnings
from collections.abc import Callable, Sequence
from typing import TypeVar

import tensorflow as tf

from tfp_flows.runs.atomic import sync, write_atomically
from tfp_flows.runs.errors import RunError, RunWarning

NAMES = "checkpoint"
WRITING = "writing"
TRIES = 100
# What TensorFlow raises for a damaged checkpoint, IndexError where a file is cut short; and what the system
# raises where it is removed.
UNREADABLE = (tf.errors.OpError, AssertionError, ValueError, IndexError, OSError)

T = TypeVar("T")


def step_of(prefix: pathlib.Path) -> int:
    """N of FOLDER/ckpt-N."""
    return int(prefix.name.removeprefix("ckpt-"))


def write(checkpoint: tf.train.Checkpoint, folder: pathlib.Path, step: int, keep: int) -> None:
    """Writes the checkpoint of a step, and removes all but it and the `keep - 1` before it.

    Raises:
      RunError: If it cannot be written; those before it are as they were.
    """
    prefix = folder / f"ckpt-{step}"
    checkpoint.save_counter.assign_add(1)
    try:
        _write_files(checkpoint, prefix)
        before = [path for path in named(folder) or _listed([folder]) if step_of(path) < step]
        kept = [prefix, *before[: keep - 1]]
        _clear_the_way(folder / NAMES)
        write_atomically(folder / NAMES, _text(kept))
        _remove_others(folder, kept)
    except (tf.errors.OpError, OSError) as error:
        raise RunError(
            f"`run`: the checkpoint {prefix} cannot be written: {reason_of(error)}; what was there before "
            f"is intact, and the same command goes on once it can write again."
        ) from error


def _write_files(checkpoint: tf.train.Checkpoint, prefix: pathlib.Path) -> None:
    """Writes the files of a checkpoint beside, brings them to the disk, and gives them their names."""
    beside = prefix.with_name(WRITING)
    checkpoint.write(str(beside))
    written = [path for path in _entries(prefix.parent) if path.name.startswith(f"{WRITING}.")]
    for path in written:
        sync(path)
    for path in written:  # the index last
        os.replace(path, path.with_name(prefix.name + path.name.removeprefix(WRITING)))
    sync(prefix.parent)


def read_newest(folders: Sequence[pathlib.Path], read: Callable[[pathlib.Path], T]) -> T | None:
    """`read(prefix)` of the newest checkpoint that is whole, with a warning of those that are not.

    A training may write, and remove, checkpoints meanwhile.

    Args:
      folders: Where to look: in the second where the first has none that is whole.
      read: Function that reads a checkpoint.

    Returns:
      What it returned; None where there is no checkpoint, or only one of step 0 that is not whole.

    Raises:
      RunError: If there are some, and none is whole.
    """
    failed: dict[pathlib.Path, str] = {}
    for _ in range(TRIES):
        prefix = next((path for path in _listed(folders) if path not in failed), None)
        if prefix is None:
            break
        reason = why_unreadable(prefix)
        if reason is None:
            try:
                found = read(prefix)
            except UNREADABLE as error:
                reason = reason_of(error)
                if why_unreadable(prefix) is None:  # it is whole, but of another model
                    raise RunError(f"`run`: the checkpoint {prefix} cannot be read: {reason}") from error
            else:
                _warn(folders, failed, prefix)
                return found
        if prefix in _listed(folders):  # else a training has replaced it
            failed[prefix] = reason
    if all(step_of(prefix) == 0 for prefix in failed):
        return None
    prefix, reason = next(iter(failed.items()))
    others = "nor can any before it" if len(failed) > 1 else "it is the only one"
    raise RunError(f"`run`: the checkpoint {prefix} cannot be read: {reason}; {others}.")


def why_unreadable(prefix: pathlib.Path) -> str | None:
    """Why a checkpoint cannot be read, in a few words; None where it can, every tensor of it."""
    files = _files(prefix)
    data = [path for path in files if path.suffix != ".index"]
    if len(files) == len(data):
        return "its .index file is missing"
    if not data or len(data) != int(data[0].name.rpartition("-of-")[2]):
        return "its .data file is missing"
    try:
        for path in files:
            if not stat.S_ISREG(os.stat(path).st_mode):
                return f"{path.name} is no file"
        reader = tf.train.load_checkpoint(str(prefix))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except UNREADABLE as error:
        return reason_of(error)
    return None


def clear(folder: pathlib.Path) -> None:
    """Removes what was left in a folder where writing a checkpoint, or removing one, was cut short.

    Nothing where the newest is damaged: what is not named may be needed then.
    """
    names = named(folder)
    if names and why_unreadable(names[0]) is None:
        _remove_others(folder, names)


def digest(prefix: pathlib.Path) -> str:
    """A digest of a checkpoint's files."""
    found = hashlib.sha256()
    for path in _files(prefix):
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def named(folder: pathlib.Path) -> list[pathlib.Path] | None:
    """The checkpoints that a folder's file names, newest first; None where it is damaged or missing."""
    path = folder / NAMES
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # of a pipe one would wait for ever
            return None
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # Older ones may name them by the folder's path, which may have been another one then.
    newest = re.findall(r'^model_checkpoint_path: "(?:.*/)?(ckpt-\d+)"$', text, re.MULTILINE)
    others = re.findall(r'^all_model_checkpoint_paths: "(?:.*/)?(ckpt-\d+)"$', text, re.MULTILINE)
    return [folder / name for name in dict.fromkeys([*newest, *reversed(others)])] if newest else None


def _listed(folders: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """The checkpoints of the folders: those that are named, newest first, then those that are not."""
    listed = []
    for folder in folders:
        by_name = named(folder) or []
        there = {path for path in map(_prefix, _entries(folder)) if path} - {*by_name}
        listed += [*by_name, *sorted(there, key=step_of, reverse=True)]
    return listed


def _entries(folder: pathlib.Path) -> list[pathlib.Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _prefix(path: pathlib.Path) -> pathlib.Path | None:
    """FOLDER/ckpt-N of one of its files; None of any other file."""
    match = re.fullmatch(r"(ckpt-\d+)\.(index|data-\d{5}-of-\d{5})", path.name)
    return path.with_name(match[1]) if match else None


def _files(prefix: pathlib.Path) -> list[pathlib.Path]:
    return [path for path in _entries(prefix.parent) if _prefix(path) == prefix]


def _text(prefixes: list[pathlib.Path]) -> str:
    """Contents of the file that names them, given newest first; as TensorFlow reads it."""
    lines = [f'model_checkpoint_path: "{prefixes[0].name}"']
    lines += [f'all_model_checkpoint_paths: "{prefix.name}"' for prefix in reversed(prefixes)]
    return "\n".join(lines) + "\n"


def _clear_the_way(path: pathlib.Path) -> None:
    """Removes an empty folder, which no file can replace."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()


def _remove_others(folder: pathlib.Path, kept: list[pathlib.Path]) -> None:
    """Removes the other checkpoints, and what was left where writing one was cut short."""
    for path in _entries(folder):
        prefix = _prefix(path)
        if prefix and prefix not in kept or re.search(r"\.tempstate\d+$", path.name):
            path.unlink(missing_ok=True)
        elif re.fullmatch(rf"(ckpt-\d+|{WRITING})_temp", path.name):
            shutil.rmtree(path)


def _warn(folders: Sequence[pathlib.Path], failed: dict[pathlib.Path, str], found: pathlib.Path) -> None:
    """Warns of what is damaged; one that is not named may be one whose writing was cut short."""
    damaged = []
    for folder in folders:
        names = named(folder)
        damaged += [
            f"the checkpoint {prefix} cannot be read: {failed[prefix]}"
            for prefix in names or []
            if prefix in failed
        ]
        if names is None and any(step_of(prefix) for prefix in _listed([folder])):
            damaged.append(f"{folder / NAMES}, which names the newest checkpoint, is damaged or missing")
    if damaged:
        warnings.warn(f"`run`: {'; '.join(damaged)}; {found} is taken.", RunWarning, stacklevel=3)


def reason_of(error: Exception) -> str:
    """What an error of TensorFlow's, or of the system's, says, without where in TensorFlow it arose."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return re.sub(r"^\{\{.*?\}\} | \[Op:\w+\].*$", "", first).rpartition("; ")[2]
