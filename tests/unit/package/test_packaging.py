"""The package as it is installed: version, types, commands, order of imports, and what an environment gets."""

import re
from importlib import metadata

import missing_packages
import pytest
from commands import REPOSITORY

import fairseq_ghat

PYPROJECT = missing_packages.tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT, SHIPPED = PYPROJECT["project"], PYPROJECT["tool"]["setuptools"]["package-data"]["fairseq_ghat"]


def test_version_stands_in_one_place():
    assert metadata.version("fairseq_ghat") == fairseq_ghat.__version__
    for file in "pyproject.toml", "setup.py", "CITATION.cff":
        assert fairseq_ghat.__version__ not in (REPOSITORY / file).read_text(encoding="utf-8"), file


def test_files_that_are_no_code_are_shipped():
    package = REPOSITORY / "fairseq_ghat"
    listed = {file for pattern in SHIPPED for file in package.glob(pattern)}
    others = {file for file in package.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc")}
    assert others == listed


@pytest.mark.parametrize("name", PROJECT["scripts"])
def test_a_command_can_be_imported(name):
    assert callable(metadata.EntryPoint(name, PROJECT["scripts"][name], "console_scripts").load())


def test_import_contracts_parse():
    contracts = pytest.importorskip("importlinter.api").read_configuration(str(REPOSITORY / "pyproject.toml"))
    assert contracts["contracts_options"][0]["layers"][-2:] == ["modules", "core"]


def test_extras_of_extras_are_installed_and_fairseq_is_not():
    listed = [*PROJECT["dependencies"], "fairseq_ghat[test]"]
    installed = set(missing_packages.requirements(PROJECT, listed))
    wanted = {
        "sentencepiece",
        "ctranslate2>=4.6",
        "sacremoses",
        "matplotlib>=3.7",
        "jinja2>=3",
        "scikit-learn",
        "pytest",
    }
    assert wanted < installed
    assert not any(requirement.startswith(("torch", "fairseq")) for requirement in installed)


def test_the_container_gets_files_and_extras_that_exist():
    let_in = re.findall(r"^!(.*)$", (REPOSITORY / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    assert {PROJECT["readme"], *PROJECT["license-files"], PROJECT["name"], "pyproject.toml", "scripts"} <= set(let_in)
    assert all((REPOSITORY / name).exists() for name in let_in)
    dockerfile = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
    extras = re.search(r"install_missing ([\w ]+?) &&", dockerfile).group(1).split()
    assert set(extras) <= PROJECT["optional-dependencies"].keys()
