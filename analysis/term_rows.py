"""The terms of a flow's change of variables as rows of tables, by the labels of the data sets."""

from collections.abc import Iterator

from analysis.decomposition import ImageTerms
from analysis.study import RunStudy
from tfp_flows.pages.page import Row


def level_rows(study: RunStudy, terms: dict[str, ImageTerms]) -> Iterator[Row]:
    """Mean of log p(z) by level, and its difference from the model's own data, which come first."""
    own = next(iter(terms.values()))
    for name, t in terms.items():
        for level, (values, reference) in enumerate(zip(t.levels, own.levels, strict=True)):
            yield {
                "run": study.name,
                "data set": name,
                "level": level,
                "log p(z)": float(values.mean()),
                "difference": float(values.mean() - reference.mean()),
            }


def layer_rows(study: RunStudy, terms: dict[str, ImageTerms]) -> Iterator[Row]:
    """Mean log-determinant of each layer."""
    for name, t in terms.items():
        for layer, values in t.layers.items():
            yield {
                "run": study.name,
                "data set": name,
                "layer": layer,
                "log|det| (nats)": float(values.mean()),
            }


def image_rows(terms: dict[str, ImageTerms]) -> list[Row]:
    """Every image's terms, nats: what the histograms count."""
    return [
        {"data set": name, "image": i, "log p(z)": float(z), "log|det|": float(det), "log P": float(total)}
        for name, t in terms.items()
        for i, (z, det, total) in enumerate(zip(t.log_prob_z, t.log_det, t.log_prob, strict=True))
    ]


def own_and_others(terms: dict[str, ImageTerms]) -> tuple[str, str]:
    """The label of the model's own data, which come first, and the others' in one line."""
    own, *others = terms
    return own, ", ".join(others)


def share_rows(study: RunStudy, terms: dict[str, ImageTerms]) -> Iterator[Row]:
    """How much of the difference of log P from the model's own data either term makes."""
    (_, own), *others = terms.items()
    for name, other in others:
        yield {
            "run": study.name,
            "data set": name,
            "log P difference": float(other.log_prob.mean() - own.log_prob.mean()),
            "from log p(z)": float(other.log_prob_z.mean() - own.log_prob_z.mean()),
            "from volume": float(other.log_det.mean() - own.log_det.mean()),
        }
