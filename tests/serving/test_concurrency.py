"""One exported model and one detector, used from many threads at once."""

import concurrent.futures
import random
import threading

import numpy as np
import pytest

from tfp_flows import data, detectors, serving

THREADS, CALLS = 16, 6
IMAGES = data.load("digits", "test").images


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_run, make_export):
    folder = tmp_path_factory.mktemp("concurrency")
    make_run(folder, "glow")
    make_export(folder, "glow")
    return folder


def _exported(folder):
    return serving.ExportedModel(folder / "exported", batch_size=32)


def _detector(folder):
    detector = detectors.load(folder / "glow_detector")
    return lambda images: {"score": detector.score(images), "p_value": detector.p_value(images)}


@pytest.mark.parametrize("make", [_exported, _detector])
def test_sixteen_threads_get_the_answers_of_one(folder, make):
    """Bit for bit; no call of one thread sees another's images."""
    model = make(folder)
    draw = random.Random(0)
    slices = []
    for _ in range(THREADS * CALLS):
        start = draw.randrange(len(IMAGES) - 32)
        slices.append(slice(start, start + draw.randint(1, 32)))
    expected = [model(IMAGES[chosen]) for chosen in slices]
    fresh = make(folder)  # the first calls, which trace, are made at once too
    gate = threading.Barrier(THREADS)

    def work(number):
        gate.wait()
        return [fresh(IMAGES[chosen]) for chosen in slices[number::THREADS]]

    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(work, range(THREADS)))
    for number, found in enumerate(answers):
        for answer, wanted in zip(found, expected[number::THREADS], strict=True):
            assert answer.keys() == wanted.keys()
            for name, values in answer.items():
                np.testing.assert_array_equal(values, wanted[name], strict=True)
