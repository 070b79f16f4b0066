"""The stages of a reproduction as tasks, with what is left to do in minutes."""

import dataclasses
import functools
import hashlib
import json
import time
from collections.abc import Callable, Sequence

from analysis import reproduce_training
from analysis.errors import AnalysisError
from analysis.reproduce_work import FLOWS, Reproduction
from tfp_flows import runs

STAGES = ("train", "evaluate", "analyse", "detect", "report")
# Rough seconds on two cores, which the progress corrects by what it measures.
AN_IMAGE = {"glow": 0.003, "vae": 0.04, "pixelcnn": 0.02}
OTHERWISE = 10_000  # images of a set that is not limited
START = 3.0  # of tracing a function
EXPANSION, SWEEP, SAMPLES = 60.0, 60.0, 20.0
A_DETECTOR = 45.0
PRIOR = (
    60.0  # seconds as estimated that every stage begins with, so that a first short task does not tell all
)
SMALL = 3.0  # of the smoke scale


@dataclasses.dataclass(frozen=True)
class Task:
    """One step of a stage.

    Attributes:
      stage: One of `STAGES`.
      label: What it does.
      seconds: An estimate.
      run: Does it; does nothing where the cache holds its result.
    """

    stage: str
    label: str
    seconds: float
    run: Callable[[], object]


def check_stages(names: Sequence[str]) -> tuple[str, ...]:
    """The stages in their order.

    Raises:
      AnalysisError: If one is none.
    """
    for name in names:
        if name not in STAGES:
            raise AnalysisError(f"`stages` must be of {', '.join(STAGES)}, got {name!r}.")
    return tuple(stage for stage in STAGES if stage in names)


def trainings(work: Reproduction, progress: bool) -> list[Task]:
    """A task for each model that is not trained yet and whose data are there."""

    def train(name: str) -> None:
        model = work.model(name)
        start = work.model(model.recipe.needs) if model.recipe.needs else None
        reproduce_training.train(model, start, work.where, progress)

    return [
        Task("train", f"train {model.name}", 60 * model.recipe.minutes, functools.partial(train, model.name))
        for model in work.models
        if not model.is_done and not model.missing
    ]


def tasks_of(work: Reproduction, stage: str) -> list[Task]:
    """The tasks of "evaluate", "analyse" or "detect", for the models that there are or are being trained."""
    return {"evaluate": _evaluations, "analyse": _analyses, "detect": _detections}[stage](work)


def _evaluations(work: Reproduction) -> list[Task]:
    tasks = []
    for model in work.judged():
        if not work.has(model.name):
            continue
        study = work.study(model.name)
        family = model.recipe.family
        most = work.scale.most_images if family == "glow" else work.scale.most_slow_images
        seconds = START + AN_IMAGE[family] * (most or OTHERWISE)
        asked: list[tuple[str, Callable[[], object]]] = [
            (study.spec.dataset, functools.partial(study.log_probs, study.spec.dataset)),
            ("training images", study.training_log_probs),
            *((name, functools.partial(study.auroc, name)) for name in study.others),
        ]
        tasks += [Task("evaluate", f"{model.name} on {label}", seconds, run) for label, run in asked]
    return tasks


def _analyses(work: Reproduction) -> list[Task]:
    tasks = []
    most = SMALL if work.scale.name == "smoke" else EXPANSION
    for study in work.studies(FLOWS):
        every = [study.spec.dataset, *study.others]
        steps: list[tuple[str, float, Callable[[], object]]] = [
            *((f"moments of {n}", 1.0, functools.partial(study.moments, n, "test")) for n in every),
            *(
                (f"second order, {n}", EXPANSION, functools.partial(study.comparison, n))
                for n in study.others
            ),
            *((f"contrast of {n}", SWEEP, functools.partial(study.contrast, n)) for n in study.faded()),
            ("constants", 2.0, study.constants),
        ]
        tasks += [
            Task("analyse", f"{study.name}: {label}", min(seconds, most), run)
            for label, seconds, run in steps
        ]
    for study in work.studies((*FLOWS, "vae", "pixelcnn")):
        tasks.append(Task("analyse", f"{study.name}: samples", min(SAMPLES, most), study.samples))
    return tasks


def _detections(work: Reproduction) -> list[Task]:
    if work.detectors is None:
        return []
    seconds = 2.0 if work.scale.name == "smoke" else A_DETECTOR
    return [
        Task("detect", f"detector: {c.label}", seconds, functools.partial(work.result, c))
        for c in work.detectors[1]
    ]


class Progress:
    """Says how long what is left will take, by what was done so far."""

    def __init__(
        self,
        say: Callable[[str], object],
        computed: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begins to count.

        Args:
          say: Shows a line.
          computed: How many results have been computed so far; a task that computes none is passed over.
          clock: Seconds.
        """
        self._say = say
        self._computed = computed
        self._clock = clock
        self._speed: dict[str, tuple[float, float]] = {}  # (measured, estimated) seconds, by stage

    def run(self, tasks: Sequence[Task], later: float = 0.0) -> None:
        """Runs tasks, one after the other.

        Args:
          tasks: Those of this stage.
          later: Seconds that stages to come will take.
        """
        for number, task in enumerate(tasks, 1):
            begun, before = self._clock(), self._computed()
            task.run()
            seconds = self._clock() - begun
            if task.stage != "train" and self._computed() == before:
                continue
            measured, estimated = self._speed.get(task.stage, (0.0, 0.0))
            self._speed[task.stage] = (measured + seconds, estimated + task.seconds)
            left = self.estimate(tasks[number:]) + later
            self._say(
                f"[{task.stage} {number}/{len(tasks)}] {task.label}: {spoken(seconds)}; {spoken(left)} to go"
            )

    def estimate(self, tasks: Sequence[Task]) -> float:
        """Seconds that tasks will take: as estimated, times about how much slower their stage was so far."""
        return sum(task.seconds * self._factor(task.stage) for task in tasks)

    def _factor(self, stage: str) -> float:
        measured, estimated = self._speed.get(stage, (0.0, 0.0))
        return (measured + PRIOR) / (estimated + PRIOR)


def spoken(seconds: float) -> str:
    """Seconds, or minutes where they are many."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


class Done:
    """Which stages have been done with these models, in OUT/stages.json."""

    def __init__(self, work: Reproduction) -> None:
        """Names the file."""
        self._work = work
        self._file = work.config.out / "stages.json"

    def mark(self, stage: str) -> None:
        """Notes that a stage is done."""
        known = self._known()
        runs.write_atomically(self._file, json.dumps({**known, stage: self._digest()}, indent=2) + "\n")

    def __contains__(self, stage: object) -> bool:
        return self._known().get(str(stage)) == self._digest()

    def _digest(self) -> str:
        work = self._work
        there = [str(model.run.folder) for model in work.models if work.has(model.name)]
        text = json.dumps([work.config.scale, work.config.experiment, there])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _known(self) -> dict[str, str]:
        try:
            return dict(json.loads(self._file.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}


def do(
    work: Reproduction,
    stages: Sequence[str],
    done: Done,
    progress: bool,
    say: Callable[[str], object] | None = None,
) -> None:
    """Does all stages but the report.

    Args:
      work: `Reproduction`.
      stages: Of `STAGES`, in their order.
      done: Where it is noted.
      progress: Whether to show bars of trainings.
      say: Shows a line; None to print it.
    """
    say = say or functools.partial(print, flush=True)
    shown = Progress(say, lambda: work.cache.computed)
    waiting = trainings(work, progress) if "train" in stages else []
    later = sum(guess(work, stage) for stage in ("evaluate", "analyse", "detect") if stage in stages)
    if waiting:
        seconds = shown.estimate(waiting)
        say(f"{len(waiting)} models to train, about {spoken(seconds)}; {spoken(seconds + later)} in all.")
    shown.run(waiting, later)
    for stage in ("evaluate", "analyse", "detect"):
        if stage in stages:
            rest = [
                other
                for other in ("analyse", "detect")
                if other in stages and STAGES.index(other) > STAGES.index(stage)
            ]
            shown.run(tasks_of(work, stage), sum(guess(work, other) for other in rest))
            done.mark(stage)


def guess(work: Reproduction, stage: str) -> float:
    """Seconds of a stage, before it is known which runs and sets there will be."""
    small = work.scale.name == "smoke"
    if stage == "evaluate":
        seconds = 0.0
        for recipe in (model.recipe for model in work.judged() if not model.missing):
            most = work.scale.most_images if recipe.family == "glow" else work.scale.most_slow_images
            a_set = START + AN_IMAGE[recipe.family] * (most or OTHERWISE)
            seconds += (2 + len(recipe.others)) * a_set
        return seconds
    if stage == "analyse":
        return 30.0 if small else len(FLOWS) * (4 * EXPANSION + 2 * SWEEP) + 4 * SAMPLES
    return 15.0 if small else len(work.scale.detectors or range(20)) * A_DETECTOR
