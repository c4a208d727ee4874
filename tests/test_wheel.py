"""The wheel, installed by itself, gives a working `leadwell` from any folder."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def leadwell(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of a fresh environment that holds the wheel and, beside it, the dependencies already here."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    venv.create(folder / "env", with_pip=True)
    site = next((folder / "env").glob("lib/python*/site-packages"))
    # A path file inside another's site-packages is not followed, so the editable install stays invisible.
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"], encoding="utf-8")
    (wheel,) = folder.glob("leadwell-*.whl")
    install = [str(folder / "env/bin/python"), "-m", "pip", "install", "--no-deps", "--no-index", "-q", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    return folder / "env/bin/leadwell"


def _run(command: Path, *arguments: str, cwd: Path) -> str:
    done = subprocess.run([str(command), *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_installed_command_finds_its_own_configuration(leadwell: Path, tmp_path: Path) -> None:
    assert "rescore" in _run(leadwell, "--help", cwd=tmp_path)
    assert "examples" in _run(leadwell, "rules", "check", cwd=tmp_path)


@pytest.mark.slow
def test_the_installed_code_is_the_wheels_not_the_repositorys(leadwell: Path, tmp_path: Path) -> None:
    where = "import configs.settings; print(configs.settings.DEFAULTS)"
    python = leadwell.parent / "python"
    shown = subprocess.run([str(python), "-c", where], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert str(leadwell.parent.parent) in shown


@pytest.mark.slow
def test_the_installed_command_makes_and_checks_a_world(leadwell: Path, tmp_path: Path) -> None:
    _run(leadwell, "sample", "--leads", "300", "--seed", "1", "--out", "world", cwd=tmp_path)
    assert "used" in _run(leadwell, "data", "check", "--data", "world", cwd=tmp_path)
