"""What a proposal leaves behind: one draft a segment, a report as JSON, and one offline page with pictures."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from configs.definitions import SegmentDefinition
from models.clustering import STABLE, UNSTABLE, Clustering

BLUE, ORANGE, GREY, INK = "#0072B2", "#E69F00", "#9aa5b1", "#26323d"
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#7F6000", "#4B4B8F")
MARKERS = "osD^vP*X"
MAX_DOTS = 4_000
DRAFT_HEADER = """\
# A draft that clustering proposed. It is not active: `approval` is null, and only a named person may give it.
# Before it can be used, a person writes every text that starts with FILL IN, gives offers by stage and a channel plan,
# decides the purpose, the product and the priority, reads enter and exit aloud, and then moves this file to
# configs/segments/ and runs `leadwell segments lint`.
"""


def write_proposal(
    out: Path, summary: Mapping[str, Any], found: Clustering, drafts: Mapping[str, SegmentDefinition]
) -> tuple[Path, ...]:
    """Write drafts, pictures and reports; drafts of an earlier run are removed, so that the folder tells one story."""
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("draft_*.yaml"):
        old.unlink()
    written: list[Path] = []
    for segment_id, definition in drafts.items():
        path = out / f"{segment_id}.yaml"
        path.write_text(DRAFT_HEADER + _yaml(definition), encoding="utf-8")
        written.append(path)
    pictures = {
        "sizes": _picture(lambda axes: _draw_sizes(axes, summary), (7.2, 0.7 + 0.34 * len(found.candidates))),
        "stability": _picture(lambda axes: _draw_stability(axes, found), (7.2, 3.4)),
        "map": _picture(lambda axes: _draw_map(axes, found, summary), (7.2, 4.8)),
    }
    for name, png in pictures.items():
        (out / f"{name}.png").write_bytes(png)
        written.append(out / f"{name}.png")
    (out / "report.json").write_text(json.dumps(summary, indent=1, default=str) + "\n", encoding="utf-8")
    environment = Environment(loader=PackageLoader("training"), autoescape=True, undefined=StrictUndefined)
    inline = {name: "data:image/png;base64," + base64.b64encode(png).decode() for name, png in pictures.items()}
    page = environment.get_template("proposal.html").render(report=summary, pictures=inline, stable=STABLE)
    (out / "report.html").write_text(page, encoding="utf-8")
    return (*written, out / "report.json", out / "report.html")


def _yaml(definition: SegmentDefinition) -> str:
    """One key a line with JSON values, which is YAML too; conditions are folded so that they can be read."""
    lines = []
    for key, value in definition.model_dump(mode="json").items():
        if key in ("enter", "exit"):
            lines.append(f"{key}: >-\n  {value}")
        elif key not in ("residual", "key_contacts"):
            lines.append(f"{key}: {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"


def _picture(draw: Callable[[Any], None], size: tuple[float, float]) -> bytes:
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=8)
    draw(axes)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()


def _draw_sizes(axes: Any, summary: Mapping[str, Any]) -> None:
    rows = list(reversed(summary["proposals"]))
    names = [_label(row) for row in rows]
    bars = axes.barh(
        names,
        [row["candidate"]["size"] for row in rows],
        color=[BLUE if row["rejected"] is None else GREY for row in rows],
        hatch=["" if row["rejected"] is None else "//" for row in rows],
        edgecolor="white",
    )
    axes.bar_label(bars, [f"{row['candidate']['share']:.0%}" for row in rows], padding=3, fontsize=8, color=INK)
    axes.set_xlabel("leads in the cluster (solid: proposed, hatched: not proposed)", fontsize=8)


def _draw_stability(axes: Any, found: Clustering) -> None:
    for method, color, marker in (("kmeans", BLUE, "o"), ("mixture", ORANGE, "s")):
        trials = [trial for trial in found.trials if trial.method == method]
        if trials:
            axes.plot([t.k for t in trials], [t.agreement for t in trials], color=color, marker=marker, label=method)
            shares = [t.stable / t.k for t in trials]
            axes.plot(
                [t.k for t in trials], shares, color=color, ls=":", lw=1, label=f"{method}: share of stable clusters"
            )
    axes.axhline(STABLE, color=INK, lw=0.8, ls="--")
    axes.axhline(UNSTABLE, color=GREY, lw=0.8, ls="--")
    axes.axvline(found.chosen.k, color=INK, lw=0.8)
    note = f"chosen: {found.chosen.k}, {found.chosen.method} "
    axes.annotate(note, (found.chosen.k, 0.02), ha="right", fontsize=8, color=INK)
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("number of clusters", fontsize=8)
    axes.set_ylabel("agreement of resamples", fontsize=8)
    axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _draw_map(axes: Any, found: Clustering, summary: Mapping[str, Any]) -> None:
    """The two directions in which leads differ most; every cluster with a marker of its own."""
    rows = np.linspace(0, len(found.space) - 1, min(len(found.space), MAX_DOTS)).astype(np.intp)
    space = found.space[rows] - found.space[rows].mean(axis=0)
    axis = np.linalg.svd(space[:: max(1, len(space) // 1500)], full_matrices=False)[2][:2]
    axis = axis * np.sign(axis[np.arange(len(axis)), np.abs(axis).argmax(axis=1)])[:, None]
    flat = space @ axis.T
    flat = np.column_stack([flat, np.zeros((len(flat), 2 - flat.shape[1]))]) if flat.shape[1] < 2 else flat
    for c, row in enumerate(summary["proposals"]):
        own = flat[found.labels[rows] == c]
        color, marker = PALETTE[c % len(PALETTE)], MARKERS[(c + c // len(PALETTE)) % len(MARKERS)]
        axes.scatter(own[:, 0], own[:, 1], s=7, c=color, marker=marker, alpha=0.55, lw=0, label=_label(row))
    axes.set_xlabel("first direction", fontsize=8)
    axes.set_ylabel("second direction", fontsize=8)
    axes.legend(frameon=False, fontsize=7, markerscale=2, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _label(row: Mapping[str, Any]) -> str:
    return str(row["segment_id"] if row["rejected"] is None else row["candidate"]["candidate_id"])[:40]
