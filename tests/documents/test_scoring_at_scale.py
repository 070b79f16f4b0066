"""The example of docs/scoring_at_scale.md runs where there is Apache Beam."""

import io
from contextlib import chdir
from typing import NamedTuple

import pytest
from PIL import Image

from tests.documents import pages

beam = pytest.importorskip("apache_beam")
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, is_not_empty

from tfp_flows import data

pytestmark = pytest.mark.beam


class Record(NamedTuple):
    id: str
    png: bytes


class ReadThem(beam.PTransform):
    """Forty digits and a file that is no picture."""

    def expand(self, begin):
        records = [Record("broken", b"no picture")]
        for i, image in enumerate(data.load("digits", "test").images[:40]):
            file = io.BytesIO()
            Image.fromarray(image[..., 0]).save(file, "PNG")
            records.append(Record(str(i), file.getvalue()))
        return begin | beam.Create(records)


def test_pipeline_runs(tmp_path, make_run, make_export):
    make_run(tmp_path, "glow")
    make_export(tmp_path, "glow")
    codes = pages.blocks(pages.DOCS / "scoring_at_scale.md", "python")
    (code,) = (code for code in codes if "beam" in code)  # the other one is tests/scoring/test_spark.py's
    code += "    assert_that(unreadable, is_not_empty())\n"
    names = {"options": PipelineOptions(), "ReadThem": ReadThem}
    with chdir(tmp_path):
        exec(code, {**names, "assert_that": assert_that, "is_not_empty": is_not_empty})
