"""One frozen `Settings` from a folder of YAML, with every problem reported at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import ConfigDict

from configs.activation import ActivationSettings, activation_problems
from configs.approvals import ApprovalStep, approval_problems, with_approvals
from configs.attribution import FILE as ATTRIBUTION
from configs.attribution import AttributionPlan, attribution_problems
from configs.buying_groups import BuyingGroupSettings, buying_group_problems
from configs.campaign_names import FILE as CAMPAIGN_NAMES
from configs.campaign_names import CampaignNames, campaign_name_problems
from configs.cards import FactDeclaration, Parameter, RuleCard
from configs.changes import Change, change_problems
from configs.checks import condition_problems
from configs.claims import FILE as CLAIMS
from configs.claims import ClaimRules
from configs.content import ActionSettings, Asset, content_problems
from configs.controlled_tests import FILE as CONTROLLED_TESTS
from configs.controlled_tests import ControlledTest, controlled_test_problems
from configs.data_use import DataUse, data_use_problems
from configs.definitions import LeadStatus, SegmentDefinition
from configs.dictionary import fact_dictionary
from configs.errors import ConfigInvalid, Problem
from configs.exploration import FILE as EXPLORATION
from configs.exploration import ExplorationSettings, exploration_problems
from configs.exports import ExportMapping
from configs.feedback import FeedbackSettings, feedback_problems
from configs.governance import ApprovalRules, GovernanceSettings
from configs.identity import IdentitySettings
from configs.journeys import FILE as JOURNEYS
from configs.journeys import JourneySettings, journey_problems
from configs.knowledge import FILE as KNOWLEDGE
from configs.knowledge import Lesson, knowledge_problems
from configs.label_changes import FILE as LABEL_CHANGES
from configs.label_changes import RECHECKS, LabelChange, Recheck, label_change_problems, with_rechecks
from configs.learning import FILE as LEARNING
from configs.learning import LearningRules, learning_problems
from configs.mapping import SourceMapping
from configs.measurement import FILE as MEASUREMENT
from configs.measurement import MeasurementPlan, measurement_problems
from configs.measures import FeatureSettings, measure_problems
from configs.monitoring import FILE as MONITORING
from configs.monitoring import MonitoringSettings, monitoring_problems
from configs.nurture import FILE as NURTURE
from configs.nurture import NurtureSettings, nurture_problems
from configs.ownership import FILE as OWNERSHIP
from configs.ownership import Ownership, ownership_problems
from configs.places import Pause, TimeZones, place_problems
from configs.points import ScorecardSettings
from configs.products import FILE as PRODUCTS
from configs.products import Product, product_problems
from configs.qualification import FILE as QUALIFICATION
from configs.qualification import QualificationSettings, qualification_problems
from configs.quality import QualitySettings
from configs.reader import Reader
from configs.register import Registrations, SourceRegister, register_problems
from configs.registry import RegistrySettings
from configs.section import Section
from configs.services import FILE as SERVICES
from configs.services import ServiceSettings, service_problems
from configs.serving_settings import ServingSettings
from configs.signatures import CardSignature, read_signatures, with_signatures
from configs.targets import TargetSettings, target_problems
from configs.thresholds import FILE as THRESHOLDS
from configs.thresholds import ThresholdSettings, threshold_problems
from configs.training_settings import TrainingSettings
from configs.triggers import Trigger, trigger_problems
from configs.vocabulary import Vocabulary

DEFAULTS = Path(__file__).parent
# Sections that may be left out; without the file what its class says by itself holds: nobody is held out and nothing
# explored, the cuts of training.yaml stand, no claim may be made.
_OPTIONAL: Mapping[str, tuple[str, type[Section]]] = {
    "exploration": (EXPLORATION, ExplorationSettings),
    "thresholds": (THRESHOLDS, ThresholdSettings),
    "claims": (CLAIMS, ClaimRules),
    "nurture": (NURTURE, NurtureSettings),
    "measurement": (MEASUREMENT, MeasurementPlan),
    "attribution": (ATTRIBUTION, AttributionPlan),
    "campaign_names": (CAMPAIGN_NAMES, CampaignNames),
    "learning": (LEARNING, LearningRules),
    "ownership": (OWNERSHIP, Ownership),
    "journeys": (JOURNEYS, JourneySettings),
    "monitoring": (MONITORING, MonitoringSettings),
    "services": (SERVICES, ServiceSettings),
    "qualification": (QUALIFICATION, QualificationSettings),
}

_OPTIONAL_LISTS: Mapping[str, tuple[str, type[Section]]] = {
    "label_changes": (LABEL_CHANGES, LabelChange),
    "rechecks": (RECHECKS, Recheck),
    "knowledge": (KNOWLEDGE, Lesson),
}


class Settings(Section):
    """Everything people edit, resolved once; below this nobody sees a path, an environment variable or a raw dict."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    vocabularies: Mapping[str, Vocabulary]
    features: FeatureSettings
    scorecard: ScorecardSettings
    segments: tuple[SegmentDefinition, ...]
    approvals: tuple[ApprovalStep, ...]
    statuses: tuple[LeadStatus, ...]
    triggers: tuple[Trigger, ...]
    changes: tuple[Change, ...]
    feedback: FeedbackSettings
    facts: Mapping[str, FactDeclaration]
    parameters: Mapping[str, Parameter]
    rules: tuple[RuleCard, ...]
    jurisdictions: Mapping[str, str]
    source_register: SourceRegister
    registrations: Registrations
    time_zones: TimeZones
    pauses: tuple[Pause, ...]
    assets: tuple[Asset, ...]
    actions: ActionSettings
    training: TrainingSettings
    targets: TargetSettings
    serving: ServingSettings
    identity: IdentitySettings
    quality: QualitySettings
    registry: RegistrySettings
    governance: GovernanceSettings
    data_use: DataUse
    buying_groups: BuyingGroupSettings
    activation: ActivationSettings
    exploration: ExplorationSettings = ExplorationSettings()
    thresholds: ThresholdSettings = ThresholdSettings()
    claims: ClaimRules = ClaimRules()
    nurture: NurtureSettings = NurtureSettings()
    measurement: MeasurementPlan = MeasurementPlan()
    attribution: AttributionPlan = AttributionPlan()
    controlled_tests: tuple[ControlledTest, ...] = ()
    campaign_names: CampaignNames = CampaignNames()
    learning: LearningRules = LearningRules()
    ownership: Ownership = Ownership()
    knowledge: tuple[Lesson, ...] = ()
    journeys: JourneySettings = JourneySettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    services: ServiceSettings = ServiceSettings()
    qualification: QualificationSettings = QualificationSettings()
    products: Mapping[str, Product] = {}
    label_changes: tuple[LabelChange, ...] = ()
    signatures: tuple[CardSignature, ...] = ()
    files: Mapping[tuple[str, str], str] = {}

    def digest(self, *parts: str) -> str:
        """SHA-256 over the named parts, the same for the same content whatever the file layout."""
        content = {part: _plain(getattr(self, part)) for part in parts}
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def load_settings(
    folder: Path | None = None, *, corrections: Path | None = None, segments: Path | None = None
) -> Settings:
    """Read a configuration folder (the shipped defaults when None); raises ConfigInvalid with all problems.

    `corrections` is a file shaped like `corrections.yaml` that is laid on top of the folder's own. `segments` is a file
    of definitions that is laid on top of the folder's own, or a folder of such files that takes their place.
    """
    root = folder or DEFAULTS
    problems: list[Problem] = []
    if not root.is_dir():
        raise ConfigInvalid([Problem(str(root), "", "expected a folder of configuration files")])
    read = Reader(root, problems)
    found: dict[str, Any] = {
        "vocabularies": read.vocabularies(corrections),
        "features": read.one("features.yaml", FeatureSettings),
        "scorecard": read.one("scorecard.yaml", ScorecardSettings),
        "segments": read.definitions(segments),
        "approvals": read.listed("approvals.yaml", "approvals", ApprovalStep),
        "statuses": read.listed("statuses.yaml", "statuses", LeadStatus),
        "triggers": read.listed("triggers.yaml", "triggers", Trigger),
        "changes": read.listed("changes.yaml", "changes", Change),
        "feedback": read.one("feedback.yaml", FeedbackSettings),
        "facts": read.mapping("policy/facts.yaml", "facts", FactDeclaration),
        "parameters": read.mapping("policy/parameters.yaml", "parameters", Parameter),
        "rules": read.every("policy/rules", RuleCard),
        "jurisdictions": read.mapping("policy/jurisdictions.yaml", "jurisdictions", str),
        "source_register": read.one("policy/source_register.yaml", SourceRegister),
        "registrations": read.one("policy/registrations.yaml", Registrations),
        "time_zones": read.one("policy/time_zones.yaml", TimeZones),
        "pauses": read.listed("policy/pauses.yaml", "pauses", Pause),
        "assets": read.listed("assets.yaml", "assets", Asset),
        "actions": read.one("actions.yaml", ActionSettings),
        "training": read.one("training.yaml", TrainingSettings),
        "targets": read.one("targets.yaml", TargetSettings),
        "serving": read.one("serving.yaml", ServingSettings),
        "identity": read.one("identity.yaml", IdentitySettings),
        "quality": read.one("quality.yaml", QualitySettings),
        "registry": read.one("registry.yaml", RegistrySettings),
        "governance": read.one("governance.yaml", GovernanceSettings),
        "data_use": read.one("data_use.yaml", DataUse),
        "buying_groups": read.one("buying_groups.yaml", BuyingGroupSettings),
        "activation": read.one("activation.yaml", ActivationSettings),
    }
    for key, (name, section) in _OPTIONAL.items():
        found[key] = (read.one(name, section) if (root / name).is_file() else None) or section()
    # Without the register nothing is authorised anywhere.
    found["products"] = read.mapping(PRODUCTS, "products", Product) if (root / PRODUCTS).is_file() else {}
    has_tests = (root / CONTROLLED_TESTS).is_file()
    tests = read.listed(CONTROLLED_TESTS, "controlled_tests", ControlledTest) if has_tests else ()
    found["controlled_tests"] = tests
    for key, (name, entry) in _OPTIONAL_LISTS.items():
        found[key] = read.listed(name, key, entry) if (root / name).is_file() else ()
    if found["features"] is not None and not problems:
        problems += measure_problems(found["features"], found["vocabularies"])
    if found["features"] is not None and found["facts"]:
        try:
            found["facts"] = fact_dictionary(found["facts"], found["features"], found["vocabularies"])
        except KeyError as error:
            problems.append(Problem("policy/facts.yaml", "facts", f"no vocabulary is named {error.args[0]}"))
        else:
            problems += condition_problems(found, read.files)
            problems += trigger_problems(found)
            problems += change_problems(found)
            problems += feedback_problems(found) if found["feedback"] is not None else ()
            problems += exploration_problems(found)
    if found["data_use"] is not None and not problems:
        problems += data_use_problems(found["data_use"], found["vocabularies"])
    if not problems:
        problems += register_problems(
            found["source_register"], found["registrations"], found["data_use"], found["vocabularies"]
        )
        segment_ids = tuple(definition.id for definition in found["segments"])
        problems += place_problems(found["time_zones"], found["pauses"], segment_ids, found["vocabularies"])
    if not problems:
        problems += buying_group_problems(found)
        problems += journey_problems(found)
        problems += activation_problems(found)
        problems += target_problems(found) or measurement_problems(found)
        problems += threshold_problems(found)
        problems += product_problems(found)
        problems += monitoring_problems(found)
        problems += service_problems(found)
        problems += qualification_problems(found)
        problems += content_problems(found, read.files)
        problems += nurture_problems(found)
        problems += attribution_problems(found)
        problems += controlled_test_problems(found)
        problems += label_change_problems(found)
        problems += campaign_name_problems(found)
        problems += learning_problems(found)
        problems += ownership_problems(found)
        problems += knowledge_problems(found)
    # A step or a definition that could not be read would make every step around it look wrong.
    if not any(problem.file.startswith(("segments", "approvals.yaml")) for problem in problems):
        rules = found["governance"].approval if found["governance"] else ApprovalRules()
        problems += approval_problems(found["segments"], found["approvals"], rules)
    found["signatures"], wrong = read_signatures(root)
    problems += wrong
    if problems:
        raise ConfigInvalid(problems)
    found["label_changes"] = with_rechecks(found["label_changes"], found.pop("rechecks"))
    found["rules"] = tuple(with_signatures(found["rules"], found["parameters"], found["signatures"]))
    found["segments"] = tuple(with_approvals(found["segments"], found["approvals"]))
    return Settings.model_construct(**found, files=read.files)


def load_source(path: Path) -> SourceMapping:
    """Read one source mapping; a bare name such as `xeducation` means the shipped file of that name."""
    shipped = DEFAULTS / "sources" / f"{path.name}.yaml"
    target = shipped if not path.exists() and path.suffix == "" and shipped.exists() else path
    problems: list[Problem] = []
    found = Reader(target.parent, problems).one(target.name, SourceMapping)
    if problems or found is None:
        raise ConfigInvalid(problems)
    return found


def load_export(path: Path) -> ExportMapping:
    """Read the mapping of an export of many tables; a bare name such as `salesforce` means the shipped file."""
    shipped = DEFAULTS / "sources" / f"{path.name}.yaml"
    target = shipped if not path.is_file() and path.suffix == "" and shipped.exists() else path
    if not target.is_file():
        names = sorted(file.stem for file in (DEFAULTS / "sources").glob("*.yaml"))
        raise ConfigInvalid([Problem(str(path), "", f"expected the file of a mapping, or one of {', '.join(names)}")])
    problems: list[Problem] = []
    found = Reader(target.parent, problems).one(target.name, ExportMapping)
    if problems or found is None:
        raise ConfigInvalid(problems)
    return found


def load_assets(path: Path) -> tuple[Asset, ...]:
    """Read an inventory of assets from a file shaped like `assets.yaml`."""
    problems: list[Problem] = []
    found = Reader(path.parent, problems).listed(path.name, "assets", Asset)
    if problems:
        raise ConfigInvalid(problems)
    return tuple(found)


def load_approvals(path: Path) -> tuple[ApprovalStep, ...]:
    """Read the steps of a file shaped like `approvals.yaml`, each by itself: whether they follow is not asked."""
    problems: list[Problem] = []
    found = Reader(path.parent, problems).listed(path.name, "approvals", ApprovalStep)
    if problems:
        raise ConfigInvalid(problems)
    return tuple(found)


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return value.model_dump(mode="json")
    if isinstance(value, Vocabulary):
        # Corrections and labelled titles decide codes, so they are part of what a digest stands for.
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return value
