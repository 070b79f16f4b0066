"""The sign table: which estimate says rightly which data a model finds likelier."""

from collections.abc import Sequence

from analysis import comparison, shown
from analysis.study import RunStudy
from tfp_flows.pages.page import Page, Row

SIGNS = {1: "+", -1: "−", 0: "0"}


def chapter(page: Page, studies: Sequence[RunStudy]) -> None:
    """The sign table: the paper's claim put to the test."""
    page.section("Predicted and observed signs", "signs")
    rows = rows_of(studies)
    page.text(summary(studies))
    if rows:
        page.table(
            "signs",
            rows,
            "+ the other data are likelier, − less likely, 0 within two standard errors. A prediction that "
            "differs from what was observed is marked.",
            marks=_mark,
        )


def rows_of(studies: Sequence[RunStudy]) -> list[Row]:
    """A row for each ordered pair (trained on, judged on)."""
    show = shown.of_studies(studies)
    rows = []
    for study in studies:
        for name in study.others if study.is_flow else ():
            value = study.comparison(name)
            row = {
                "run": study.name,
                "trained on": show.label(study.spec.dataset),
                "judged on": show.label(name),
                "observed": SIGNS[comparison.sign(value.measured, value.measured_se)],
            }
            errors = value.errors()
            estimates = value.estimates()
            for label in comparison.ESTIMATES:
                known = label in estimates
                sign = SIGNS[comparison.sign(estimates[label], errors.get(label, 0))] if known else ""
                row[label] = sign
            rows.append(row)
    return rows


def summary(studies: Sequence[RunStudy]) -> str:
    """How often each estimate has the observed sign, in one sentence."""
    rows = rows_of(studies)
    counts = []
    for label in comparison.ESTIMATES:
        judged = [row for row in rows if row[label]]
        if judged:
            right = sum(row[label] == row["observed"] for row in judged)
            counts.append(f"{label} {right} of {len(judged)}")
    if not counts:
        return "There is nothing to compare with."
    return f"Predictions with the observed sign: {', '.join(counts)}."


def _mark(row: Row, column: str) -> str | None:
    if column not in comparison.ESTIMATES or not row[column]:
        return None
    return "right" if row[column] == row["observed"] else "wrong"
