"""Text files that a reader, or a crash, sees whole or not at all."""

import os
import pathlib


def write_atomically(path: pathlib.Path, text: str) -> None:
    """Writes a text file so that a reader, or a crash, sees the old or the new one, never a part."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
