"""The pictures of a proposal: sizes, what tells a group, whom it reaches, what became of it, stability, and a map."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from models.candidates.clustering import STABLE, UNSTABLE, Clustering
from models.candidates.lineage import Lineage
from training.proposals.proposal import Proposal, ProposalReport, Reach, Trait

BLUE, ORANGE, GREY, PALE, INK = "#0072B2", "#E69F00", "#9aa5b1", "#d5dbe1", "#26323d"
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#7F6000", "#4B4B8F")
MARKERS = "osD^vP*X"
KINDS: Mapping[str | None, str] = {
    "same": "#0072B2",
    "split": "#E69F00",
    "merged": "#CC79A7",
    "new": "#009E73",
    "gone": "#9aa5b1",
}
MAX_DOTS = 4_000
WIDTH = 7.2


def pictures_of(report: ProposalReport) -> dict[str, bytes]:
    """Every picture as PNG: `sizes`, `stability`, `map`, and `profile_X`, `reach_X`, `lineage_X` where there is one."""
    found = report.clustering
    pictures = {
        "sizes": picture(lambda axes: _draw_sizes(axes, report.proposals), 0.7 + 0.34 * len(found.candidates)),
        "stability": picture(lambda axes: _draw_stability(axes, found), 3.4),
        "map": picture(lambda axes: _draw_map(axes, found, report.proposals), 4.8),
    }
    for proposal in report.proposed:
        traits, reach = proposal.traits, proposal.reach
        if traits:
            pictures[f"profile_{proposal.name}"] = picture(_profile(traits), 0.7 + 0.42 * len(traits))
        if reach is not None and any(reach.anyhow.values()):
            pictures[f"reach_{proposal.name}"] = picture(_reach(reach), 2.2)
    for name, lineage in report.lineage.items():
        if lineage.rows:
            height = 0.6 + 0.3 * max(len({r.before for r in lineage.rows}), len({r.after for r in lineage.rows}))
            pictures[f"lineage_{name}"] = picture(_descent(lineage), height)
    return pictures


def picture(draw: Callable[[Any], None], height: float) -> bytes:
    """One picture as PNG."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=8)
    draw(axes)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()


def _draw_sizes(axes: Any, proposals: Sequence[Proposal]) -> None:
    rows = list(reversed(proposals))
    bars = axes.barh(
        [proposal.name[:40] for proposal in rows],
        [proposal.candidate.size for proposal in rows],
        color=[BLUE if proposal.rejected is None else PALE for proposal in rows],
        hatch=["" if proposal.rejected is None else "//" for proposal in rows],
        edgecolor="white",
    )
    axes.bar_label(bars, [f"{p.candidate.size:,} ({p.candidate.share:.0%})" for p in rows], padding=3, fontsize=8)
    axes.margins(x=0.14)
    axes.set_xlabel("leads in the group (solid: proposed, hatched: not proposed)", fontsize=8)


def _profile(traits: Sequence[Trait]) -> Callable[[Any], None]:
    """Members beside all other leads, one line a trait; numbers other than shares are drawn to their own scale."""

    def draw(axes: Any) -> None:
        rows = list(reversed(traits))
        for place, trait in enumerate(rows):
            scale = 1.0 if _is_share(trait) else max(abs(trait.inside), abs(trait.outside), 1e-9)
            inside, outside = trait.inside / scale, trait.outside / scale
            axes.plot([outside, inside], [place, place], color=PALE, lw=3, zorder=1)
            axes.scatter([outside], [place], s=46, color=GREY, zorder=2, marker="s")
            axes.scatter([inside], [place], s=60, color=BLUE, zorder=3)
            text = trait.says.partition(": ")[2].replace(" of them", "").replace(" of other leads", "")
            text = text.replace(" for other leads", "").replace("typically ", "").replace("on average ", "")
            axes.annotate(text.replace(", ", " against "), (1.06, place), fontsize=8, color=INK, va="center")
        names = [textwrap.fill(trait.says.partition(": ")[0], 38) for trait in rows]
        axes.set_yticks(range(len(rows)), names, fontsize=8)
        axes.set_xlim(-0.04, 1.5)
        axes.set_ylim(-0.6, len(rows) - 0.3)
        if all(_is_share(trait) for trait in traits):
            axes.set_xticks([0, 0.5, 1.0], ["0 %", "50 %", "100 %"])
        else:
            axes.set_xticks([])
            axes.spines["bottom"].set_visible(False)
        axes.scatter([], [], s=60, color=BLUE, label="members")
        axes.scatter([], [], s=46, color=GREY, marker="s", label="other leads")
        axes.legend(
            frameon=False, fontsize=8, ncols=2, loc="lower right", bbox_to_anchor=(1.0, -0.02 - 0.9 / len(rows))
        )

    return draw


def _is_share(trait: Trait) -> bool:
    return trait.kind != "number" or " %" in trait.says


def _reach(reach: Reach) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        purposes = list(reach.by_channel)
        channels = list(next(iter(reach.by_channel.values()), {}))
        width = 0.8 / max(len(purposes), 1)
        for p, purpose in enumerate(purposes):
            at = np.arange(len(channels)) + (p - (len(purposes) - 1) / 2) * width
            shares = [100 * reach.by_channel[purpose][channel] / max(reach.members, 1) for channel in channels]
            color, hatch = ((BLUE, ""), (ORANGE, "//"))[p % 2]
            bars = axes.bar(at, shares, width * 0.92, color=color, hatch=hatch, edgecolor="white", label=purpose)
            axes.bar_label(bars, [f"{share:.0f} %" for share in shares], fontsize=7, padding=1)
        axes.set_xticks(range(len(channels)), [channel.replace("_", " ") for channel in channels])
        axes.set_ylim(0, 112)
        axes.set_yticks([0, 50, 100])
        axes.set_ylabel("% of members", fontsize=8)
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))

    return draw


def _descent(lineage: Lineage) -> Callable[[Any], None]:
    """Groups before on the left, groups now on the right, and what became of what."""

    def draw(axes: Any) -> None:
        now = list(dict.fromkeys(row.after for row in lineage.rows if row.after is not None))
        order = {name: place for place, name in enumerate(now)}
        olds = dict.fromkeys(row.before for row in lineage.rows if row.before is not None)
        to = {old: [order[r.after] for r in lineage.rows if r.before == old and r.after is not None] for old in olds}
        before = sorted(olds, key=lambda old: (min(to[old], default=len(now)), old))
        height = max(len(before), len(now), 1)
        left = {name: height - place * height / max(len(before), 1) for place, name in enumerate(before)}
        right = {name: height - place * height / max(len(now), 1) for place, name in enumerate(now)}
        for row in lineage.rows:
            if row.before is not None and row.after is not None:
                ends = [left[row.before], right[row.after]]
                axes.plot([0, 1], ends, color=KINDS[row.kind], lw=1 + 4 * max(row.kept, row.drawn), alpha=0.75)
        lone = {
            row.before or row.after or "": row.kind for row in lineage.rows if row.before is None or row.after is None
        }
        for sides, at, align in ((left, -0.02, "right"), (right, 1.02, "left")):
            for name, height_ in sides.items():
                kind = lone.get(name)
                label = f"{name[:38]}{f' ({kind})' if kind else ''}"
                axes.scatter([0 if align == "right" else 1], [height_], s=18, color=KINDS[kind] if kind else INK)
                axes.annotate(label, (at, height_), ha=align, va="center", fontsize=7.5, color=INK)
        for kind in ("same", "split", "merged"):
            axes.plot([], [], color=KINDS[kind], lw=4, label=kind)
        axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 0.0))
        axes.set_xlim(-1.15, 2.15)
        axes.set_ylim(0.2, height + 0.6)
        axes.axis("off")

    return draw


def _draw_stability(axes: Any, found: Clustering) -> None:
    for place, method in enumerate(dict.fromkeys(trial.method for trial in found.trials)):
        color, marker = PALETTE[place % len(PALETTE)], MARKERS[place % len(MARKERS)]
        trials = [trial for trial in found.trials if trial.method == method]
        axes.plot([t.k for t in trials], [t.agreement for t in trials], color=color, marker=marker, label=method)
        shares = [t.stable / t.k for t in trials]
        label = f"{method}: share of stable clusters"
        axes.plot([t.k for t in trials], shares, color=color, ls=":", lw=1, label=label)
    axes.axhline(STABLE, color=INK, lw=0.8, ls="--")
    axes.axhline(UNSTABLE, color=GREY, lw=0.8, ls="--")
    axes.axvline(found.chosen.k, color=INK, lw=0.8)
    note = f"chosen: {found.chosen.k}, {found.chosen.method} "
    axes.annotate(note, (found.chosen.k, 0.02), ha="right", fontsize=8, color=INK)
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("number of clusters", fontsize=8)
    axes.set_ylabel("agreement of resamples", fontsize=8)
    axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _draw_map(axes: Any, found: Clustering, proposals: Sequence[Proposal]) -> None:
    """The two directions in which leads differ most; every cluster with a marker of its own."""
    rows = np.linspace(0, len(found.space) - 1, min(len(found.space), MAX_DOTS)).astype(np.intp)
    space = found.space[rows] - found.space[rows].mean(axis=0)
    axis = np.linalg.eigh(space.T @ space)[1][:, ::-1].T[:2]
    axis = axis * np.sign(axis[np.arange(len(axis)), np.abs(axis).argmax(axis=1)])[:, None]
    flat = space @ axis.T
    flat = np.column_stack([flat, np.zeros((len(flat), 2 - flat.shape[1]))]) if flat.shape[1] < 2 else flat
    for c, proposal in enumerate(proposals):
        own = flat[found.labels[rows] == c]
        color, marker = PALETTE[c % len(PALETTE)], MARKERS[(c + c // len(PALETTE)) % len(MARKERS)]
        axes.scatter(own[:, 0], own[:, 1], s=7, c=color, marker=marker, alpha=0.55, lw=0, label=proposal.name[:40])
    axes.set_xlabel("first direction", fontsize=8)
    axes.set_ylabel("second direction", fontsize=8)
    axes.legend(frameon=False, fontsize=7, markerscale=2, loc="center left", bbox_to_anchor=(1.0, 0.5))
