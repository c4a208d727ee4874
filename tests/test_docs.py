"""What the pages say: the reference is what the code makes, links and pictures exist, commands and options are real."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from cli.app import app
from cli.reference import COMMAND, commands, page, shown_settings
from cli.reference_features import COMMAND as FEATURES_COMMAND
from cli.reference_features import page as features_page
from cli.reference_segments import COMMAND as SEGMENTS_COMMAND
from cli.reference_segments import page as segments_page
from cli.reference_words import (
    ABSTAIN_SAYS,
    ENVIRONMENT,
    FEATURE_SAYS,
    GATE_SAYS,
    SETTING_SAYS,
)
from configs.measures import FeatureSettings
from configs.serving_settings import ServingSettings
from configs.settings import load_settings
from configs.targets import HistorySettings
from configs.training_settings import Boosting, TrainingSettings
from models.bands import REASONS
from policy.gates import NEVER_FEATURES

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
# The default cards of the policy.
DEFAULT_CARDS = [
    *(f"GEN-0{n}" for n in range(1, 9)),
    *(f"FEA-0{n}" for n in range(1, 6)),
    *("EU-01", "EU-02", "EU-03", "RX-01", "RX-02", "UK-01", "UK-02", "CH-01"),
    *(f"US-{n:02d}" for n in range(1, 12)),
    *("HCP-01", "HCP-02", "HCP-03", "CA-01", "AU-01", "CON-01", "CON-02", "CON-03", "CON-04", "CON-05"),
    *("FRQ-01", "SUP-01", "HYG-01"),
]


def test_reference_page_is_what_the_code_makes_now() -> None:
    written = (DOCS / "reference.md").read_text(encoding="utf-8")
    assert written == page(), f"docs/reference.md is old: run `make docs` (`{COMMAND}`) and commit it"


def test_features_page_is_what_the_catalog_makes_now() -> None:
    written = (DOCS / "features.md").read_text(encoding="utf-8")
    assert written == features_page(), f"docs/features.md is old: run `make docs` (`{FEATURES_COMMAND}`) and commit it"


def test_segment_matrix_page_is_what_the_definitions_make_now() -> None:
    written = (DOCS / "segment_matrix.md").read_text(encoding="utf-8")
    assert written == segments_page(), (
        f"docs/segment_matrix.md is old: run `make docs` (`{SEGMENTS_COMMAND}`) and commit it"
    )


def test_every_default_card_is_shipped() -> None:
    assert len(set(DEFAULT_CARDS)) == len(DEFAULT_CARDS) == 45
    # CON-02-AUD is a part of CON-02.
    ids = [card.id for card in load_settings().rules]
    shipped = {card for card in DEFAULT_CARDS if any(i == card or i.startswith(f"{card}-") for i in ids)}
    assert [card for card in DEFAULT_CARDS if card not in shipped] == []


def test_words_of_the_reference_name_what_exists_and_nothing_else() -> None:
    assert set(ABSTAIN_SAYS) == {*REASONS[1:], "NO_SCORE"}
    assert set(GATE_SAYS) == set(NEVER_FEATURES)
    sections = (TrainingSettings, Boosting, ServingSettings, FeatureSettings, HistorySettings)
    assert set(SETTING_SAYS) == {name for model in sections for name in model.model_fields} - {
        "pooled",
        "segment",
        "beside",
    }
    nested = {name for name, _, _ in shown_settings(load_settings().features) if "." in name}
    assert set(FEATURE_SAYS) == nested


def test_reference_lists_every_environment_variable_that_the_code_reads() -> None:
    sources = [path for room in ("cli", "serving", "policy", "training") for path in (ROOT / room).rglob("*.py")]
    sources = [path for path in sources if path.name != "reference_words.py"]
    found = {name for path in sources for name in re.findall(r'"(LEADWELL_[A-Z_]+)"', path.read_text(encoding="utf-8"))}
    assert set(ENVIRONMENT) == found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_and_picture_exists(path: Path) -> None:
    broken = []
    for link in LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8"))):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        file, _, heading = unquote(link).partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (heading and heading not in _headings(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_of_ours_that_a_page_names_exists(path: Path) -> None:
    rooms = "benchmarks|cli|configs|docs|features|models|policy|serving|tests|training"
    named = re.findall(rf"`((?:{rooms})/[\w./-]+)`", FENCE.sub("", path.read_text(encoding="utf-8")))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_readme_names_the_two_commands_and_links_every_page() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in readme
    assert "make test" in readme
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in LINK.findall(readme)}
    assert [path.name for path in DOCS.glob("*.md") if path.resolve() not in linked] == []


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem[:4])
def test_every_decision_has_its_four_parts_in_order(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    places = [text.find(f"**{part}.**") for part in ("Choice", "Alternatives", "Why", "Price")]
    assert -1 not in places
    assert places == sorted(places)
    assert text.startswith(f"# {int(path.stem[:4])}. ")


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(path.stem[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_leadwell_command_in_the_pages_exists_with_its_options(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    wrong = [f"{line}: {found}" for line in _shell_lines(text) if (found := _problem(line, whole=True))]
    prose = re.findall(r"`((?:[A-Z_]+=\S+ )*leadwell [^`]+)`", FENCE.sub("", text))
    wrong += [f"{line}: {found}" for line in prose if (found := _problem(line, whole=False))]
    assert wrong == []


@pytest.mark.parametrize("name", [name for name, _ in commands(app)])
def test_every_command_shows_an_example_that_it_accepts(name: str) -> None:
    command = dict(commands(app))[name]
    paragraphs = [" ".join(text.split()) for text in (command.help or "").split("\n\n")]
    examples = [text.removeprefix("Example: ") for text in paragraphs if text.startswith("Example: ")]
    assert examples
    assert [f"{line}: {found}" for line in examples if (found := _problem(line, whole=True))] == []
    assert all(name in example for example in examples)


def _headings(path: Path) -> set[str]:
    found = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in found}


def _shell_lines(text: str) -> Iterator[str]:
    """Lines of code blocks that run leadwell, with continued lines joined."""
    for block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            if re.match(r"\s*(\S+=\S+ )*(\S*/)?leadwell ", line):
                yield line.strip()


def _problem(line: str, *, whole: bool) -> str | None:
    """What is wrong with a command line; `whole` asks for required options and arguments too."""
    # What the shell does with the output, and comments, are not leadwell's.
    words = [word for word in shlex.split(re.split(r"\s(?:#|\||&&|>)", line)[0]) if word not in ("…", "...")]
    words = words[next(i for i, word in enumerate(words) if word.rsplit("/", 1)[-1] == "leadwell") + 1 :]
    found = {name.removeprefix("leadwell "): command for name, command in commands(app)}
    if words == ["--help"]:
        return None
    name = next((" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]) in found), None)
    if name is None:
        # A group by itself may be named in prose.
        return (
            None if not whole and any(known.startswith(f"{' '.join(words)} ") for known in found) else "no such command"
        )
    return _misused(found[name], words[len(name.split()) :], whole=whole)


def _misused(command: Any, words: list[str], *, whole: bool) -> str | None:
    options = {text: p for p in command.params for text in (*p.opts, *p.secondary_opts) if text.startswith("-")}
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    given, free, rest = set(), 0, iter(words)
    for word in rest:
        if word.startswith("-"):
            text, _, value = word.partition("=")
            if text == "--help":
                return None
            if text not in options:
                return f"no option {text}"
            given.add(options[text].name)
            if not options[text].is_flag and not value and next(rest, None) is None:
                return f"{text} needs a value"
        else:
            free += 1
    if free > len(arguments) and not any(p.nargs == -1 for p in arguments):
        return "too many arguments"
    missing = [p.name for p in command.params if p.required and p.name not in given and p not in arguments]
    if whole and (missing or free < sum(p.required for p in arguments)):
        return f"needs {', '.join(missing) or 'an argument'}"
    return None
