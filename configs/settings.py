"""The only reader of YAML: one frozen `Settings` from a folder, with every problem reported at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from glob import escape
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from configs.activation import ActivationSettings, activation_problems
from configs.approvals import ApprovalStep, approval_problems, with_approvals
from configs.buying_groups import BuyingGroupSettings, buying_group_problems
from configs.cards import FactDeclaration, Parameter, RuleCard
from configs.changes import Change, change_problems
from configs.checks import condition_problems
from configs.claims import FILE as CLAIMS
from configs.claims import ClaimRules
from configs.content import ActionSettings, Asset, content_problems
from configs.curation import Correction, ReviewSettings, Shape, built, curated
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
from configs.mapping import SourceMapping
from configs.measures import FeatureSettings, measure_problems
from configs.places import Pause, TimeZones, place_problems
from configs.points import ScorecardSettings
from configs.products import FILE as PRODUCTS
from configs.products import Product, product_problems
from configs.quality import QualitySettings
from configs.register import Registrations, SourceRegister, register_problems
from configs.registry import RegistrySettings
from configs.section import Section
from configs.serving_settings import ServingSettings
from configs.signatures import CardSignature, read_signatures, with_signatures
from configs.targets import TargetSettings, target_problems
from configs.thresholds import FILE as THRESHOLDS
from configs.thresholds import ThresholdSettings, threshold_problems
from configs.training_settings import TrainingSettings
from configs.triggers import Trigger, trigger_problems
from configs.vocabulary import Vocabulary

DEFAULTS = Path(__file__).parent
MAX_YAML_BYTES = 1_000_000
T = TypeVar("T")


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
    products: Mapping[str, Product] = {}
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
    read = _Reader(root, problems)
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
    # Without the file nobody is held out and nothing is explored.
    found["exploration"] = ExplorationSettings()
    if (root / EXPLORATION).is_file():
        found["exploration"] = read.one(EXPLORATION, ExplorationSettings)
    # Without the file the cuts of training.yaml stand.
    found["thresholds"] = ThresholdSettings()
    if (root / THRESHOLDS).is_file():
        found["thresholds"] = read.one(THRESHOLDS, ThresholdSettings)
    # Without the files nothing is authorised anywhere, and no claim may be made.
    found["claims"] = (read.one(CLAIMS, ClaimRules) if (root / CLAIMS).is_file() else None) or ClaimRules()
    found["products"] = read.mapping(PRODUCTS, "products", Product) if (root / PRODUCTS).is_file() else {}
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
            problems += exploration_problems(found) if found["exploration"] is not None else []
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
        problems += activation_problems(found)
        problems += target_problems(found)
        problems += threshold_problems(found)
        problems += product_problems(found)
        problems += content_problems(found, read.files)
    # A step or a definition that could not be read would make every step around it look wrong.
    if not any(problem.file.startswith(("segments", "approvals.yaml")) for problem in problems):
        rules = found["governance"].approval if found["governance"] else ApprovalRules()
        problems += approval_problems(found["segments"], found["approvals"], rules)
    found["signatures"], wrong = read_signatures(root)
    problems += wrong
    if problems:
        raise ConfigInvalid(problems)
    found["rules"] = tuple(with_signatures(found["rules"], found["parameters"], found["signatures"]))
    found["segments"] = tuple(with_approvals(found["segments"], found["approvals"]))
    return Settings.model_construct(**found, files=read.files)


def load_source(path: Path) -> SourceMapping:
    """Read one source mapping; a bare name such as `xeducation` means the shipped file of that name."""
    shipped = DEFAULTS / "sources" / f"{path.name}.yaml"
    target = shipped if not path.exists() and path.suffix == "" and shipped.exists() else path
    problems: list[Problem] = []
    found = _Reader(target.parent, problems).one(target.name, SourceMapping)
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
    found = _Reader(target.parent, problems).one(target.name, ExportMapping)
    if problems or found is None:
        raise ConfigInvalid(problems)
    return found


def load_assets(path: Path) -> tuple[Asset, ...]:
    """Read an inventory of assets from a file shaped like `assets.yaml`."""
    problems: list[Problem] = []
    found = _Reader(path.parent, problems).listed(path.name, "assets", Asset)
    if problems:
        raise ConfigInvalid(problems)
    return tuple(found)


def load_approvals(path: Path) -> tuple[ApprovalStep, ...]:
    """Read the steps of a file shaped like `approvals.yaml`, each by itself: whether they follow is not asked."""
    problems: list[Problem] = []
    found = _Reader(path.parent, problems).listed(path.name, "approvals", ApprovalStep)
    if problems:
        raise ConfigInvalid(problems)
    return tuple(found)


class _Reader:
    """Reads files below a root and collects problems instead of stopping at the first."""

    def __init__(self, root: Path, problems: list[Problem]) -> None:
        self.root, self.problems = root, problems
        self.files: dict[tuple[str, str], str] = {}

    def one(self, name: str, model: type[T]) -> T | None:
        raw = self._yaml(self.root / name)
        return None if raw is None else self._validated(name, raw, model, ())

    def mapping(self, name: str, key: str, model: type[T]) -> dict[str, T]:
        raw = self._yaml(self.root / name) or {}
        entries = raw.get(key, {}) if isinstance(raw, dict) else {}
        if not isinstance(raw, dict) or set(raw) != {key} or not isinstance(entries, dict):
            self.problems.append(Problem(name, key, f"expected one top-level mapping named {key}"))
            return {}
        pairs = ((str(k), self._validated(name, v, model, (key, str(k)))) for k, v in entries.items())
        return {k: v for k, v in pairs if v is not None}

    def listed(self, name: str, key: str, model: type[T]) -> tuple[T, ...]:
        raw = self._yaml(self.root / name) or {}
        if not isinstance(raw, dict) or set(raw) != {key} or not isinstance(raw.get(key), list):
            self.problems.append(Problem(name, key, f"expected one top-level list named {key}"))
            return ()
        return self._each(name, raw[key], model, key)

    def every(self, folder: str, model: type[T], pattern: str = "*.yaml") -> tuple[T, ...]:
        """Every file of a folder; each holds one entry or a list of entries. Ids must be unique over all files."""
        entries: list[T] = []
        first_seen: dict[str, str] = {}
        for path in sorted((self.root / folder).glob(pattern)):
            name = str(path.relative_to(self.root))
            raw = self._yaml(path)
            if raw is None:
                continue
            for entry in self._each(name, raw if isinstance(raw, list) else [raw], model, ""):
                identity = str(getattr(entry, "id", ""))
                if identity in first_seen:
                    self.problems.append(Problem(name, identity, f"id already used in {first_seen[identity]}"))
                first_seen[identity] = self.files[folder, identity] = name
                entries.append(entry)
        if not first_seen:
            self.problems.append(Problem(folder, "", "expected at least one YAML file"))
        return tuple(entries)

    def definitions(self, others: Path | None = None) -> tuple[SegmentDefinition, ...]:
        """The folder's segments; those of a file laid on top by id, those of another folder instead."""
        own = () if others is not None and others.is_dir() else self.every("segments", SegmentDefinition)
        if others is None:
            return own
        reader = _Reader(others if others.is_dir() else others.parent, self.problems)
        given = reader.every(".", SegmentDefinition, "*.yaml" if others.is_dir() else escape(others.name))
        self.files |= {("segments", identity): name for (_, identity), name in reader.files.items()}
        laid = {definition.id: definition for definition in given}
        return tuple({**{definition.id: definition for definition in own}, **laid}.values())

    def vocabularies(self, corrections: Path | None = None) -> dict[str, Vocabulary]:
        found: dict[str, Vocabulary] = {}
        has_review = (self.root / "review.yaml").is_file()
        review = (self.one("review.yaml", ReviewSettings) if has_review else None) or ReviewSettings()
        for path in sorted((self.root / "vocabularies").glob("*.yaml")):
            name = str(path.relative_to(self.root))
            raw = self._yaml(path)
            for vocabulary, values in (self._validated(name, raw, TypeAdapter(Shape), ()) or {}).items():
                if vocabulary in found:
                    self.problems.append(Problem(name, vocabulary, "vocabulary declared twice"))
                try:
                    found[vocabulary] = built(vocabulary, values, review)
                except ValueError as error:
                    self.problems.append(Problem(name, vocabulary, str(error)))
        for name in sorted(set(review.thresholds) - set(found)):
            self.problems.append(Problem("review.yaml", f"thresholds.{name}", "no vocabulary has this name"))
        settled = []
        if (self.root / "corrections.yaml").is_file():
            settled.append(("corrections.yaml", self.listed("corrections.yaml", "corrections", Correction)))
        if corrections is not None:
            other = _Reader(corrections.parent, self.problems)
            settled.append((corrections.name, other.listed(corrections.name, "corrections", Correction)))
        labels = None if review.labels is None else self.root / review.labels
        return curated(found, settled, labels, review.precision, self.problems)

    def _each(self, name: str, raw: list[Any], model: type[T], key: str) -> tuple[T, ...]:
        checked = (self._validated(name, entry, model, _place(key, index, entry)) for index, entry in enumerate(raw))
        return tuple(entry for entry in checked if entry is not None)

    def _validated(self, name: str, raw: Any, model: Any, place: tuple[str, ...]) -> Any:
        adapter = model if isinstance(model, TypeAdapter) else TypeAdapter(model)
        try:
            return adapter.validate_python(raw)
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_input=False, include_context=False):
                key = ".".join((*place, *(str(part) for part in detail["loc"])))
                self.problems.append(Problem(name, key, detail["msg"]))
            return None

    def _yaml(self, path: Path) -> Any:
        name = str(path.relative_to(self.root))
        if not path.is_file():
            self.problems.append(Problem(name, "", "expected this file"))
            return None
        if path.stat().st_size > MAX_YAML_BYTES:
            self.problems.append(Problem(name, "", f"expected at most {MAX_YAML_BYTES} bytes"))
            return None
        try:
            return _StrictLoader.load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            mark = getattr(error, "problem_mark", None)
            where = f"line {mark.line + 1}" if mark else ""
            self.problems.append(Problem(name, where, getattr(error, "problem", None) or "expected readable YAML"))
            return None


# libyaml parses several times faster; where PyYAML was built without it the same documents load, only later.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _StrictLoader(_Loader):  # type: ignore[misc]
    """Safe YAML without anchors (no alias bombs) and without duplicate keys."""

    @classmethod
    def load(cls, text: str) -> Any:
        """The one document of a text; raises yaml.YAMLError."""
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.events.AliasEvent):
                raise yaml.composer.ComposerError(problem="aliases are not allowed", problem_mark=event.start_mark)  # type: ignore[arg-type]
        return yaml.load(text, Loader=cls)  # noqa: S506 - a SafeLoader

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)  # type: ignore[no-any-return]


def _place(key: str, index: int, entry: Any) -> tuple[str, ...]:
    identity = entry.get("id") or entry.get("asset_id") if isinstance(entry, dict) else None
    return tuple(part for part in (key, str(identity or index)) if part)


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
