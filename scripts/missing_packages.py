"""Prints what pyproject.toml asks for and this environment lacks, one requirement a line; environment.sh installs it.

    python scripts/missing_packages.py test lint      for the package and these extras of it

torch and fairseq are left out: they are installed first, in an order of their own. The package itself is among the
lines unless the environment's fairseq_ghat is this repository's, with all its commands.
"""

import importlib.util
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, Iterable, Iterator, Mapping

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.9 and 3.10, whose pip brings the same reader
    from pip._vendor import tomli as tomllib

REPOSITORY = Path(__file__).resolve().parents[1]
FIRST = ("torch", "fairseq", "fairseq-fixed")


def requirements(project: Mapping[str, Any], listed: Iterable[str]) -> Iterator[str]:
    """The requirements listed; for those that are extras of the package itself, what these list."""
    for requirement in listed:
        name, _, extras = re.match(r"([\w.-]+)(\[([\w,-]+)])?", requirement).groups()
        if name == project["name"]:
            for extra in extras.split(","):
                yield from requirements(project, project["optional-dependencies"][extra])
        elif name not in FIRST:
            yield requirement


def is_installed(requirement: str) -> bool:
    """Whether the environment has a package of the requirement's name."""
    try:
        metadata.version(re.match(r"[\w.-]+", requirement).group())
    except metadata.PackageNotFoundError:
        return False
    return True


def has_this_package(project: Mapping[str, Any]) -> bool:
    """Whether the environment's package is this repository's, and all its commands stand beside the interpreter."""
    package = importlib.util.find_spec(project["name"])
    if not (package and package.origin) or Path(package.origin).resolve().parent != REPOSITORY / project["name"]:
        return False
    return all(Path(sys.executable).with_name(command).is_file() for command in project["scripts"])


def main() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = [*project["dependencies"], *(f"{project['name']}[{extra}]" for extra in sys.argv[1:])]
    missing = [requirement for requirement in requirements(project, listed) if not is_installed(requirement)]
    missing += [] if has_this_package(project) else [project["name"]]
    print("\n".join(missing))


if __name__ == "__main__":
    main()
