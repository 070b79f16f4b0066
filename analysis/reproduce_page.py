"""The report of a reproduction: index.html, results.json and results.md."""

import importlib.metadata
import pathlib
from collections.abc import Container, Sequence
from typing import NamedTuple

from analysis import (
    chapters,
    detector_chapters,
    published_bits,
    reproduce_claims,
    reproduce_rows,
    shown,
    sign_table,
)
from analysis.reproduce_claims import CONTRADICTED, REPRODUCED, UNDECIDED, Claim
from analysis.reproduce_sets import TITLES
from analysis.reproduce_work import FLOWS, Reproduction
from tfp_flows import runs
from tfp_flows.numerics import quantization
from tfp_flows.pages import cells, pictures
from tfp_flows.pages.page import Page, Row


def write(work: Reproduction, done: Container[str]) -> pathlib.Path:
    """Writes the report from what is in the cache; returns the path of index.html.

    Args:
      work: `Reproduction`.
      done: The stages that have been done; the chapters of others are left out, and it says so.
    """
    claims = reproduce_claims.claims(work, "analyse" in done, "detect" in done)
    tables = _tables(work, done)
    page = Page(work.config.out, _title(work), _lead(work, claims))
    _summary(page, claims)
    _rows(page, tables)
    _panels(page, work)
    flows = work.studies(FLOWS)
    if flows:
        chapters.decomposition(page, flows)
    if "analyse" in done and flows:
        chapters.data_moments(page, flows[:1])
        chapters.second_order(page, flows)
        sign_table.chapter(page, flows)
        chapters.sweeps(page, flows)
        chapters.samples(page, work.studies((*FLOWS, "vae", "pixelcnn")))
    if "detect" in done and work.detectors is not None:
        _detectors(page, work)
    _budgets(page, work)
    runs.write_atomically(work.config.out / "results.md", markdown_text(work, claims, tables))
    return page.write(_how(work, done))


class Table(NamedTuple):
    """A table of the page and of results.md.

    Attributes:
      name: Of its files.
      rows: One or more.
      caption: What it says.
      formats: Of its numbers.
    """

    name: str
    rows: Sequence[Row]
    caption: str
    formats: dict[str, str]


def _tables(work: Reproduction, done: Container[str]) -> list[Table]:
    """Those that have a row."""
    decimals = dict.fromkeys(("published", "ours", "± s.e.", "mean", "standard deviation"), ".3f")
    formats = {**decimals, "images": ","}
    found = [
        Table(
            "rows",
            reproduce_rows.rows(work),
            f"Published: {published_bits.PAPER}, with how sure we are of it. Ours: test images unless it "
            f"says training, ± one standard error over images. AUROC of -log P with the set as the positive "
            f"class and its 95 % bootstrap interval; below 0.5 the likelihood is fooled.",
            formats,
        ),
        Table("seeds", reproduce_rows.spread(work), "The headline model with several seeds.", formats),
    ]
    if "analyse" in done:
        caption = "1000 x the variance of [0, 1] pixels by channel; published: the paper, from memory."
        found.append(Table("variances", reproduce_rows.variances(work), caption, formats))
    if "detect" in done:
        caption = (
            "Remedies: AUROC with the foreign set as the positive class, and what was published, of whom."
        )
        found.append(Table("remedies", reproduce_rows.remedies(work), caption, formats))
    return [table for table in found if table.rows]


def _title(work: Reproduction) -> str:
    own, foreign = TITLES[work.experiment.own], TITLES[work.experiment.foreign]
    return f"{own} and {foreign}: the paper, and what came of it here"


def _lead(work: Reproduction, claims: Sequence[Claim]) -> str:
    count = {
        one: sum(claim.verdict == one for claim in claims) for one in (REPRODUCED, UNDECIDED, CONTRADICTED)
    }
    return (
        f"“Do Deep Generative Models Know What They Don't Know?” ({published_bits.PAPER}) again, at the "
        f"scale {work.scale.name}: {work.scale.meaning}. Of {len(claims)} claims {count[REPRODUCED]} are "
        f"reproduced, {count[CONTRADICTED]} contradicted, {count[UNDECIDED]} not decided at this scale."
    )


def _summary(page: Page, claims: Sequence[Claim]) -> None:
    page.section("Claims", "claims")
    page.table(
        "claims",
        claim_rows(claims),
        "Reproduced: the number lies on the claimed side by more than its error (a 95 % bootstrap interval, "
        "or two standard errors); contradicted: on the other side; not at this scale: neither, or there is "
        "no number.",
        marks=_mark,
        folded=False,
    )


def claim_rows(claims: Sequence[Claim]) -> list[Row]:
    """Claims as rows of a table."""
    return [{"verdict": c.verdict, "claim": c.text, "number": c.number} for c in claims]


def _mark(row: Row, column: str) -> str | None:
    if column != "verdict":
        return None
    return {REPRODUCED: "right", CONTRADICTED: "wrong"}.get(row["verdict"])


def _rows(page: Page, tables: Sequence[Table]) -> None:
    page.section("The paper's rows, and ours", "rows")
    page.text(
        "Bits per dimension; fewer: likelier. Data, sizes and budgets differ from the paper's, so that the "
        "order of the sets can be compared, and not the last digits; the data are described at the end."
    )
    for table in tables:
        page.table(table.name, table.rows, table.caption, table.formats, folded=False)


def _panels(page: Page, work: Reproduction) -> None:
    """The paper's histograms, one for each model."""
    page.section("Histograms", "histograms")
    studies = work.studies()
    if not studies:
        return
    show = shown.of_studies(studies)
    for study in studies:
        own = study.spec.dataset
        train = show.train(own)
        values = {show.label(own): study.log_probs(own), train: study.training_log_probs()}
        values |= {show.label(name): study.log_probs(name) for name in study.others}
        bits = {k: quantization.bits_per_dim(v, study.spec.image_shape) for k, v in values.items()}
        page.figure(
            f"histogram_{study.name}",
            pictures.likelihood_figure(bits, f"{study.name}: {study.title}", show.styles),
            f"Histograms of bits per dimension under {study.name}: {', '.join(bits)}.",
            f"{study.spec.training['steps']:,} steps, seed {study.spec.training['seed']}.",
        )


def _detectors(page: Page, work: Reproduction) -> None:
    assert work.detectors is not None
    study = work.detectors[0]
    results = work.results()
    detector_chapters.comparison(page, study, results)
    detector_chapters.literature(page, study, results)
    detector_chapters.groups_of_images(page, study, results)


def _budgets(page: Page, work: Reproduction) -> None:
    page.section("Models and data", "budgets")
    page.table(
        "models",
        reproduce_rows.budgets(work),
        "What each model learned and how; minutes are those of its training on this machine.",
    )
    for line in reproduce_rows.data_labels(work):
        page.text(line)


def _how(work: Reproduction, done: Container[str]) -> list[str]:
    left = [stage for stage in ("analyse", "detect") if stage not in done]
    scale = work.scale
    lines = [f"Not done yet: {', '.join(left)}."] if left else []
    lines.append(
        f"Scale {scale.name}: test images of a set under a flow {scale.most_images or 'all'}, under a VAE "
        f"or PixelCNN {scale.most_slow_images or 'all'}; a VAE's log p is a bound from "
        f"{scale.importance_samples} samples of its latent; seed {work.config.seed}."
    )
    versions = ("tfp-flows", "tensorflow", "tensorflow-probability")
    return [*lines, ", ".join(f"{name} {_version(name)}" for name in versions) + "."]


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def markdown_text(work: Reproduction, claims: Sequence[Claim], tables: Sequence[Table]) -> str:
    """The tables in Markdown, for a page of docs/."""
    pieces = [f"## {_title(work)}", _lead(work, claims), markdown(claim_rows(claims), {})]
    for table in tables:
        pieces += [markdown(table.rows, table.formats), table.caption]
    pieces.append("\n".join(f"- {line}" for line in reproduce_rows.data_labels(work)))
    return "\n\n".join(pieces) + "\n"


def markdown(rows: Sequence[Row], formats: dict[str, str]) -> str:
    """A table in Markdown."""
    header = list(rows[0])
    body = [[cells.shown(row[key], formats.get(key)) for key in header] for row in rows]
    lines = [[*header], ["---"] * len(header), *body]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
