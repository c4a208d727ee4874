"""What the stories share: a folder of hand-made tables, the commands as a user types them, and the API in process."""

from __future__ import annotations

import asyncio
import csv
import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import httpx
import typer.testing
import yaml  # noqa: TID251 - a person completes the copied file
from typer.testing import CliRunner

from cli.app import app
from configs.errors import LeadwellError
from configs.settings import Settings, load_settings
from serving.app import Scoring, build_app
from serving.guard import Guard, Keys
from serving.start import start_scoring

# Building the tree of commands takes a good part of a second, and a story types dozens of them.
typer.testing._get_command = cache(typer.testing._get_command)  # type: ignore[attr-defined]
WIDTH = 120
SECONDS = re.compile(r"^✓ .*\n?", re.MULTILINE)
CONFIGS = Path(__file__).parents[2] / "configs"
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """A story that was run: what its page shows, by the name of the block, and what its test looks at."""

    blocks: Mapping[str, str]
    seen: Any = None
    pictures: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Said:
    """What a command answered: its exit code, what it printed, and what it printed as an error."""

    code: int
    out: str
    err: str


class Room:
    """A fresh folder in which a story plays; `now` is the clock of its data."""

    def __init__(self, now: datetime) -> None:
        self.folder = Path(mkdtemp(prefix="lw-story-"))
        self.data = self.folder / "data"
        self.data.mkdir()
        self.audit = self.folder / "audit"
        self.clock_at(now)

    def clock_at(self, now: datetime) -> None:
        """Set the clock of the data: what is decided at it is no replay."""
        self.now = now.astimezone(UTC)
        note = {"as_of": self.now.isoformat(), "suppressions_complete_as_of": self.now.isoformat()}
        (self.data / "sample.json").write_text(json.dumps(note), encoding="utf-8")

    def write(self, table: str, rows: Iterable[Row]) -> Path:
        """Write a table as CSV: the columns that any row has, an empty cell where a row has none."""
        rows = list(rows)
        columns = list(dict.fromkeys(name for row in rows for name in row))
        path = self.data / f"{table}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
        return path

    def run(self, *words: object, code: int = 0) -> Said:
        """`leadwell WORDS` in this process, as typed; fails with what it said where it ends with another code."""
        said = leadwell(*words, folder=self.folder)
        assert said.code == code, f"leadwell {' '.join(map(str, words))}: {said.code}\n{said.out}\n{said.err}"
        return said

    def shown(self, *words: object, code: int = 0, keep: Callable[[str], str] = str) -> str:
        """A block of a page: the command and what it printed; `keep` may cut what the reader need not see."""
        said = self.run(*words, code=code)
        return shell(_typed(words, self.folder), keep(said.out + said.err))

    def copy_of_configs(self) -> Path:
        """A copy of the shipped configuration to change: the folder for --configs."""
        target = self.folder / "configs"
        shutil.copytree(CONFIGS, target, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
        return target


def completed(configs: Path, file: str, segment_id: str, **changes: Any) -> None:
    """Complete a template in a copied configuration: nothing is needed any more, and `changes` replace its keys."""
    path = configs / "segments" / file
    definitions = yaml.safe_load(path.read_text(encoding="utf-8"))
    found = next(one for one in definitions if one["id"] == segment_id)
    found.pop("needs", None)
    found.update(changes)
    path.write_text(yaml.safe_dump(definitions, sort_keys=False, allow_unicode=True), encoding="utf-8")


def approve(room: Room, configs: Path, segment_id: str, by: str, approver: str, on: str = "2026-06-01") -> Said:
    """Submit and approve a segment by two people, through the commands; what the approval said."""
    own = ("--on", on, "--configs", configs)
    room.run("segments", "submit", segment_id, "--by", by, *own)
    last = ("--until", "2027-06-30", "--reference", "SEG-26-14")
    return room.run("segments", "approve", segment_id, "--by", approver, *last, *own)


def leadwell(*words: object, folder: Path) -> Said:
    """The command in this process: a user's mistake ends with 2 and one line for each problem, as in a shell."""
    result = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": str(WIDTH)})
    code, err = result.exit_code, result.stderr
    if isinstance(result.exception, LeadwellError):
        code, err = 2, err + "".join(f"error {problem}\n" for problem in str(result.exception).splitlines())
    elif result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    out, err = (SECONDS.sub("", text).replace(f"{folder}/", "") for text in (result.stdout, err))
    return Said(code, out, err)


class Service:
    """The API in process, with a store of its own; its clock is `now` and moves when it is set."""

    def __init__(self, bundle: Path, room: Room, settings: Settings | None = None) -> None:
        self.now = room.now
        self.scoring = Scoring(settings or load_settings(), lambda: self.now)
        start_scoring(self.scoring, bundle, room.audit, store=f"sqlite:///{room.folder / 'store.db'}")
        keys = Keys.of("key", allow_none=False, lifting="lifting")
        self._app: Any = Guard(build_app(lambda: self.scoring), keys=keys, max_body=8_000_000)

    def post(self, path: str, body: Any, key: str = "key") -> httpx.Response:
        """One request; `body` is JSON, or bytes as they are."""

        async def run() -> httpx.Response:
            transport, headers = httpx.ASGITransport(self._app), {"X-API-Key": key}
            async with httpx.AsyncClient(transport=transport, base_url="http://leadwell", headers=headers) as client:
                given = {"content": body} if isinstance(body, bytes) else {"json": body}
                return await client.post(path, **given, headers={"content-type": "application/json"})

        return asyncio.run(run())

    def score(self, *leads: dict[str, Any], **rest: Any) -> list[dict[str, Any]]:
        """The decisions of `POST /v1/score` about these leads."""
        response = self.post("/v1/score", {"leads": list(leads), **rest})
        assert response.status_code == 200, response.text
        found: list[dict[str, Any]] = response.json()["decisions"]
        return found

    def close(self) -> None:
        """Let go of the store."""
        assert self.scoring.contact is not None
        self.scoring.contact.close()


@cache
def cold_bundle() -> Path:
    """The bundle of the cold start, made once by its command: points say the band, nobody claims a probability."""
    folder = Path(mkdtemp(prefix="lw-story-bundle-"))
    said = leadwell("scorecard", "bundle", "--bundle", folder / "bundle", folder=folder)
    assert said.code == 0, said.err
    return folder / "bundle"


def shell(command: str, output: str) -> str:
    """A fenced block: the command line, then what it printed, without blanks at the ends of lines."""
    lines = [line.rstrip() for line in output.strip("\n").splitlines()]
    return "\n".join(["```console", f"$ {command}", *lines, "```"])


def fenced(text: str, kind: str = "") -> str:
    """A fenced block of text, such as JSON or CSV."""
    return "\n".join([f"```{kind}", text.strip("\n"), "```"])


def as_json(value: Any) -> str:
    """A value as a fenced block of JSON, in the order it has."""
    return fenced(json.dumps(value, indent=2, ensure_ascii=False), "json")


def as_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; an empty cell for None."""
    cells = [["" if cell is None else str(cell).replace("|", "\\|") for cell in row] for row in rows]
    lines = [columns, ["---"] * len(columns), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return ";".join(map(str, value)) if isinstance(value, list | tuple) else value


def _typed(words: Iterable[object], folder: Path) -> str:
    typed = [str(word).replace(f"{folder}/", "") for word in words]
    return shlex.join(["leadwell", *typed])
