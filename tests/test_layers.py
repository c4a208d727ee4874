"""The shape of the code base: layers, file sizes, names that are ours."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("cli", "training", "serving", "models", "policy", "features", "configs")


def test_imports_point_down() -> None:
    command = Path(sys.executable).parent / "lint-imports"
    result = subprocess.run([str(command), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_no_file_holds_two_rooms() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}


def test_our_top_level_names_belong_to_nobody_else() -> None:
    owners = {name: set(packages_distributions().get(name, [])) - {"leadwell"} for name in FOLDERS}
    assert {name: found for name, found in owners.items() if found} == {}


def test_every_shipped_folder_is_a_package_that_the_wheel_lists() -> None:
    listed = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    folders = {path.parent.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    missing = [
        str(f) for f in folders if f'"{".".join(f.parts)}"' not in listed or not (ROOT / f / "__init__.py").exists()
    ]
    assert missing == []


def test_nothing_shipped_can_read_a_pickle() -> None:
    words = ("import pickle", "import joblib", "import cloudpickle", "from pickle", "from joblib")
    found = [
        str(path.relative_to(ROOT))
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if any(word in path.read_text(encoding="utf-8") for word in words)
    ]
    assert found == []
