"""Trains the models of a reproduction, each by `tfp_flows.train` with its flag file, or takes given runs."""

import dataclasses
import hashlib
import json
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from analysis import kinship, reproduce_sets
from analysis.errors import AnalysisError
from analysis.reproduce_recipes import FLAG_FILES, Recipe
from tfp_flows import commands, runs
from tfp_flows.commands import flag_files
from tfp_flows.data import names

FORMAT = 1
TRAINED, GIVEN = "trained", "given"
# What a training ends with is computed later, and kept in the report's cache.
QUIETLY = ("--evaluate_on=", "--detector=none", "--nopictures", "--noreport")


@dataclasses.dataclass
class Model:
    """A recipe, and what became of it.

    Attributes:
      recipe: `Recipe`.
      run: Its run, which may not be trained yet.
      origin: `TRAINED` here, or `GIVEN`.
      missing: Why there is no model, in a line, or "".
      seconds: How long its training took, all calls together; None where that is not known.
    """

    recipe: Recipe
    run: runs.Run
    origin: str = TRAINED
    missing: str = ""
    seconds: float | None = None

    @property
    def name(self) -> str:
        """As in tables."""
        return self.recipe.name

    @property
    def done_file(self) -> pathlib.Path:
        """Written when its training has come to its end."""
        return self.run.folder.parent / "done.json"

    @property
    def seconds_file(self) -> pathlib.Path:
        """How long the calls so far took."""
        return self.run.folder.parent / "seconds.json"

    @property
    def is_done(self) -> bool:
        """Whether there is a trained model."""
        return self.origin == GIVEN or self.done_file.is_file()


def models_of(
    recipes: Sequence[Recipe], folder: pathlib.Path, given: Mapping[str, str], where: Mapping[str, Any]
) -> list[Model]:
    """The models of recipes: where their runs lie or will lie.

    A run's folder is FOLDER/runs/DIGEST/NAME. The digest is of all that the training depends on, those of
    the models that it starts from included, so that another flag means another folder.

    Args:
      recipes: In the order in which they are trained.
      folder: Of the report.
      given: {name of a recipe: folder of a run to take instead}.
      where: `data_dir` and `download` of `data.load`.

    Raises:
      AnalysisError: If a given run is of another family or data than its recipe.
      RunError: If it is no run.
    """
    found: dict[str, Model] = {}
    for recipe in recipes:
        if recipe.name in given:
            model = Model(recipe, runs.Run(given[recipe.name]), GIVEN)
            _check_given(model)
        else:
            start = found[recipe.needs] if recipe.needs else None
            digest = _digest(recipe, start)
            model = Model(recipe, runs.Run(folder / "runs" / digest / recipe.name))
            model.missing = _why_impossible(recipe, start, where)
            if model.is_done:
                model.seconds = json.loads(model.done_file.read_text(encoding="utf-8"))["seconds"]
        found[recipe.name] = model
    return list(found.values())


def train(model: Model, start: Model | None, where: Mapping[str, Any], progress: bool) -> None:
    """Trains a model to its end; one that was interrupted goes on.

    Args:
      model: Which.
      start: The model that it starts from, or None.
      where: `data_dir` and `download` of `data.load`.
      progress: Whether to show a bar.

    Raises:
      SystemExit: If a signal interrupts it; the run is kept.
    """
    from tfp_flows import train as command  # here: they import what commands need alone
    from tfp_flows.training import command_flags

    begun = time.monotonic()
    before = _seconds(model.seconds_file)
    try:
        arguments = _arguments(model, start, where, progress)
        with commands.flags_of(command_flags.define_flags, arguments) as flag_names:
            command.main(flag_names)
    finally:
        seconds = before + time.monotonic() - begun
        model.seconds_file.parent.mkdir(parents=True, exist_ok=True)
        runs.write_atomically(model.seconds_file, json.dumps({"seconds": seconds}) + "\n")
    model.seconds = seconds
    text = json.dumps({"seconds": seconds, "flags": recipe_arguments(model.recipe)}, indent=2)
    runs.write_atomically(model.done_file, text + "\n")


def _seconds(file: pathlib.Path) -> float:
    return json.loads(file.read_text(encoding="utf-8"))["seconds"] if file.exists() else 0.0


def recipe_arguments(recipe: Recipe) -> list[str]:
    """The arguments of `tfp_flows.train` without where anything lies."""
    arguments = [
        *flag_files.expand([f"--flagfile={FLAG_FILES / recipe.flag_file}"]),
        *recipe.changes,
        f"--dataset={recipe.dataset.name}",
        f"--seed={recipe.seed}",
        *QUIETLY,
    ]
    return [a for a in arguments if not a.startswith(("--run=", "--init_from="))]


def _arguments(model: Model, start: Model | None, where: Mapping[str, Any], progress: bool) -> list[str]:
    arguments = [*recipe_arguments(model.recipe), f"--run={model.run.folder}"]
    if start is not None:
        arguments.append(f"--init_from={start.run.folder}")
    if where["data_dir"] is not None:
        arguments.append(f"--data_dir={where['data_dir']}")
    return [
        *arguments,
        "--download" if where["download"] else "--nodownload",
        "--progress" if progress else "--noprogress",
    ]


def _digest(recipe: Recipe, start: Model | None) -> str:
    begins = "" if start is None else start.run.folder.parent.name
    if start is not None and start.origin == GIVEN:
        begins = start.run.checkpoint_digest()
    identity = [FORMAT, recipe_arguments(recipe), begins]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:12]


def _why_impossible(recipe: Recipe, start: Model | None, where: Mapping[str, Any]) -> str:
    if start is not None and start.missing:
        return f"it starts from {start.name}, which is missing: {start.missing}"
    return reproduce_sets.why_missing(recipe.dataset.name, "train", dict(where))


def _check_given(model: Model) -> None:
    spec, recipe = model.run.spec(), model.recipe
    if spec.family != recipe.family:
        raise AnalysisError(
            f"`run_of`: {model.run.folder} is a {spec.family}; {recipe.name} is a {recipe.family}."
        )
    learned = kinship.dataset_of(model.run)
    if names.identity(learned) != names.identity(recipe.dataset.name):
        raise AnalysisError(
            f"`run_of`: {model.run.folder} was trained on {learned}; "
            f"{recipe.name} learns {recipe.dataset.name}."
        )
