"""What a proposal is made of: traits, reach, conversion, lineage, and a cluster with its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from models.candidates.clustering import CandidateSegment, Clustering
from models.candidates.distill import Distilled
from models.candidates.lineage import Lineage


@dataclass(frozen=True, slots=True)
class Trait:
    """One thing in which members differ from all other leads, and by how much.

    `effect` is Cliff's delta (Cliff 1993, Psychological Bulletin 114): the chance that a member has more than another
    lead, minus the chance that it has less. For a value it is the difference of two shares; 0 is no difference, 1 is
    complete. `inside` and `outside` are shares for a value, medians or means for a number. `dimension` is what kind of
    thing the trait is about: traits of one dimension say the same thing twice.
    """

    name: str
    dimension: str
    kind: Literal["value", "number", "unknown"]
    value: str
    inside: float
    outside: float
    lift: float
    effect: float
    says: str


@dataclass(frozen=True, slots=True)
class Reach:
    """How many members may be contacted, for each purpose and channel; `anyhow` counts members with any channel.

    It counts people for whom some approved asset of that purpose passes every rule on that channel. It grants nothing:
    each contact is decided on its own when it is due.
    """

    members: int
    by_channel: Mapping[str, Mapping[str, int]]
    anyhow: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Conversion:
    """Leads that met a condition one horizon ago, and how many of them converted since, with a 95 % interval.

    `lift` is the rate over that of all leads clustered then; its interval is that of the rate over the same base.
    `surely` says whether they converted more or less than the other leads did, sure after as many questions as there
    are groups: of twenty groups that differ in nothing one would leave a 95 % interval.
    """

    leads: int
    converted: int
    rate: float
    low: float
    high: float
    base_rate: float
    lift: float
    surely: Literal["more", "less"] | None = None

    @property
    def lift_low(self) -> float:
        """Lower end of the lift's interval."""
        return self.low / self.base_rate if self.base_rate else 0.0

    @property
    def lift_high(self) -> float:
        """Upper end of the lift's interval."""
        return self.high / self.base_rate if self.base_rate else 0.0


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Words for a person to start from; never facts, and marked as suggestions wherever they are shown."""

    title: str
    hypothesis: str
    owner: str
    purpose: Literal["medical_education", "promotional"]
    themes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """One cluster: what was found, and why it is or is not proposed.

    `rejected` is the reason as a data scientist reads it, `why` the same for a marketer, `remap` what to do instead.
    """

    candidate: CandidateSegment
    segment_id: str | None
    distilled: Distilled | None
    says: str
    members: int
    conversion: Conversion | None
    overlaps: Mapping[str, float]
    rejected: str | None
    why: str = ""
    remap: str = ""
    traits: tuple[Trait, ...] = ()
    reach: Reach | None = None
    suggestion: Suggestion | None = None
    notes: tuple[str, ...] = ()
    identity: str | None = None

    @property
    def name(self) -> str:
        """Id of the draft, else of the approved segment that it is (`identity`), else of the cluster."""
        if self.rejected is None and self.segment_id:
            return self.segment_id
        return self.identity or self.candidate.candidate_id


@dataclass(frozen=True, slots=True)
class FieldLeftOut:
    """A field that groups may not stand on, what for, and why."""

    field: str
    used_for: Literal["clustering", "conditions", "either"]
    why: str


@dataclass(frozen=True, slots=True)
class ProposalReport:
    """Everything the proposal found, every cluster with its outcome, and the files it wrote."""

    as_of: datetime
    horizon_days: int
    leads: int
    left_out: Mapping[str, int]
    clustering: Clustering
    proposals: tuple[Proposal, ...]
    files: tuple[Path, ...]
    fields_left_out: tuple[FieldLeftOut, ...] = ()
    lineage: Mapping[str, Lineage] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def proposed(self) -> tuple[Proposal, ...]:
        """The clusters that became a draft."""
        return tuple(proposal for proposal in self.proposals if proposal.rejected is None)
