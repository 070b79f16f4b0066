"""Runs the code of notebooks in order, without Jupyter, and stores what each cell shows.

python -m tests.documents.notebooks        # writes the outputs into docs/tutorials/*.ipynb anew
"""

import ast
import base64
import contextlib
import io
import json
import os
import pathlib
import sys
import tempfile
from typing import Any

from tests.documents import pages

NOTEBOOKS = sorted((pages.DOCS / "tutorials").glob("*.ipynb"))


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells of code."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run(notebook: dict[str, Any]) -> dict[str, Any]:
    """Runs every cell, and puts what it shows in its place; returns the names that are there at the end."""
    import matplotlib

    matplotlib.use("Agg")
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(code_cells(notebook), start=1):
        cell["execution_count"] = number
        cell["outputs"] = _outputs("".join(cell["source"]), names)
    return names


def _outputs(source: str, names: dict[str, Any]) -> list[dict[str, Any]]:
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "<cell>", "exec"), names)
        value = None
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        text = printed.getvalue().splitlines(keepends=True)
        outputs.append({"output_type": "stream", "name": "stdout", "text": text})
    if value is not None:
        outputs.append(
            {"output_type": "execute_result", "execution_count": None, "metadata": {}, "data": _shown(value)}
        )
    return outputs


def _shown(value: Any) -> dict[str, Any]:
    data: dict[str, Any] = {"text/plain": repr(value).splitlines(keepends=True)}
    if hasattr(value, "savefig"):
        import matplotlib.pyplot as plt

        picture = io.BytesIO()
        value.savefig(picture, format="png", dpi=80, bbox_inches="tight", metadata={"Software": None})
        plt.close(value)
        data["image/png"] = base64.b64encode(picture.getvalue()).decode() + "\n"
    elif hasattr(value, "_repr_png_"):
        data["image/png"] = base64.b64encode(value._repr_png_()).decode() + "\n"
    return data


def main() -> None:
    """Runs the notebooks that are named, or all, in an empty folder, and writes them."""
    for path in map(pathlib.Path, sys.argv[1:] or NOTEBOOKS):
        path = path.resolve()
        notebook = json.loads(path.read_text(encoding="utf-8"))
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            run(notebook)
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(path.name)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
