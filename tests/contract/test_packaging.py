"""What is built holds what the tree holds, and works where it is installed.

The wheel is built from the sdist, so a file that the sdist lacks is missed here, too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from mint_migrate.stamp import stamp

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {
    "migrator/mint_migrate": "mint_migrate",
    "runtime/mint_runtime": "mint_runtime",
    "mappings": "mint_migrate/_data/mappings",
    "templates": "mint_migrate/_data/templates",
}
"""Folder of the tree, and where the wheel has it."""
NEEDED = (
    "mint_migrate/py.typed",
    "mint_migrate/report/schema.json",
    "mint_migrate/_data/mappings/index.json",
    "mint_migrate/_data/mappings/index_openrlhf.json",
    "mint_migrate/_data/mappings/index_verl.json",
    "mint_migrate/_data/templates/sft.py.j2",
    "mint_runtime/py.typed",
)
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def run(*command: str | Path, cwd: Path) -> str:
    """Run *command* and return its standard output; its errors are part of a failure."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def build(target: str, *, source: Path, into: Path) -> Path:
    """Build *target* without an isolated environment, which would need a package index."""
    run(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", into, cwd=source)
    (built,) = into.iterdir()
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", source=ROOT, into=tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (source,) = unpacked.iterdir()
    return build("wheel", source=source, into=tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment with the wheel, in which the test environment's packages are seen."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    run(*pip, "--no-index", "--no-deps", wheel, cwd=folder)
    packages = run(python, "-c", "import site; print(site.getsitepackages()[0])", cwd=folder)
    (Path(packages.strip()) / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def names(wheel: Path) -> set[str]:
    """Return the files of *wheel*, those that describe it excepted."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def files(folder: Path) -> list[Path]:
    """Return what of *folder* belongs into a wheel."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".part"
    ]


def test_the_wheel_holds_the_files_of_the_tree_and_no_others(wheel):
    expected = {
        f"{there}/{path.relative_to(ROOT / here).as_posix()}"
        for here, there in FOLDERS.items()
        for path in files(ROOT / here)
    }
    assert names(wheel) == expected


@pytest.mark.parametrize("name", NEEDED)
def test_the_wheel_holds_what_is_not_code(wheel, name):
    assert name in names(wheel)


def test_the_wheel_carries_the_licence(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (licence,) = (name for name in archive.namelist() if name.endswith("licenses/LICENSE"))
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()


def test_the_sdist_holds_neither_tests_nor_fixtures(sdist):
    with tarfile.open(sdist) as archive:
        tops = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    assert {"migrator", "runtime", "mappings", "templates", "README.md"} <= tops
    assert tops & {"tests", "fixtures", ".ci", ".venv"} == set()


def test_the_installed_wheel_migrates_a_script(installed, tmp_path):
    source = ROOT / "fixtures" / "before" / "trl" / "sft_minimal.py"
    (tmp_path / source.name).write_bytes(source.read_bytes())
    run(installed / "bin" / "mint-migrate", source.name, cwd=tmp_path)
    written = (tmp_path / "sft_minimal_mint.py").read_text(encoding="utf-8")
    expected = ROOT / "fixtures" / "after" / "trl" / source.name
    assert written == stamp(expected.read_text(encoding="utf-8"))


@pytest.mark.parametrize("package", ["mint_migrate", "mint_runtime"])
def test_the_installed_package_is_the_wheels_and_not_the_checkouts(installed, package, tmp_path):
    python = installed / "bin" / "python"
    place = run(python, "-c", f"import {package}; print({package}.__file__)", cwd=tmp_path)
    assert Path(place.strip()).is_relative_to(installed)


@pytest.mark.parametrize("command", ["mint-migrate", "mint-runtime"])
def test_the_installed_commands_know_their_version(installed, command, tmp_path):
    assert "0.1.0" in run(installed / "bin" / command, "--version", cwd=tmp_path)
