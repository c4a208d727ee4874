"""YAML files below a folder, each checked against what it must be; every problem is kept, none stops the reading."""

from __future__ import annotations

from glob import escape
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from configs.curation import Correction, ReviewSettings, Shape, built, curated
from configs.definitions import SegmentDefinition
from configs.errors import Problem
from configs.vocabulary import Vocabulary

MAX_YAML_BYTES = 1_000_000
T = TypeVar("T")


class Reader:
    """Reads files below a root and collects problems instead of stopping at the first."""

    def __init__(self, root: Path, problems: list[Problem]) -> None:
        self.root, self.problems = root, problems
        self.files: dict[tuple[str, str], str] = {}

    def one(self, name: str, model: type[T]) -> T | None:
        """The one section that a file holds; None where it could not be read."""
        raw = self._yaml(self.root / name)
        return None if raw is None else self._validated(name, raw, model, ())

    def mapping(self, name: str, key: str, model: type[T]) -> dict[str, T]:
        """The entries of a file's one mapping, those that could be read."""
        raw = self._yaml(self.root / name) or {}
        entries = raw.get(key, {}) if isinstance(raw, dict) else {}
        if not isinstance(raw, dict) or set(raw) != {key} or not isinstance(entries, dict):
            self.problems.append(Problem(name, key, f"expected one top-level mapping named {key}"))
            return {}
        pairs = ((str(k), self._validated(name, v, model, (key, str(k)))) for k, v in entries.items())
        return {k: v for k, v in pairs if v is not None}

    def listed(self, name: str, key: str, model: type[T]) -> tuple[T, ...]:
        """The entries of a file's one list, those that could be read."""
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
        reader = Reader(others if others.is_dir() else others.parent, self.problems)
        given = reader.every(".", SegmentDefinition, "*.yaml" if others.is_dir() else escape(others.name))
        self.files |= {("segments", identity): name for (_, identity), name in reader.files.items()}
        laid = {definition.id: definition for definition in given}
        return tuple({**{definition.id: definition for definition in own}, **laid}.values())

    def vocabularies(self, corrections: Path | None = None) -> dict[str, Vocabulary]:
        """Every vocabulary, with what people settled about single words laid on top."""
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
            other = Reader(corrections.parent, self.problems)
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
