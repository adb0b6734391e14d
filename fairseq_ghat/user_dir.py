"""--user-dir where this package is imported already, or where its folder has another name.

fairseq compares folders as text, and imports one under whatever name it has. A link to this package is this package,
whatever its name; a second copy beside it is refused, since both would register the same models.
"""

import importlib.util
import os
import sys
from typing import List

_NAME = "fairseq_ghat"


class Folders(List[str]):
    """Folders of the package, its __path__, in which fairseq looks a second --user-dir up."""

    def __contains__(self, folder: object) -> bool:
        """Whether a folder is one of them, also through links.

        Raises:
            ImportError: if it is another copy of the package; names both and says what to do.
        """
        if not isinstance(folder, str):
            return False
        if os.path.realpath(folder) in map(os.path.realpath, self):
            return True
        if os.path.basename(folder) == _NAME:
            raise ImportError(_second_copy(folder, self[0]))
        return False


def claim(name: str, folders: List[str]) -> Folders:
    """Makes a package that is imported under another name, as fairseq does by the name of the folder, the right one.

    Args:
        name: __name__ of the package.
        folders: its __path__.

    Returns:
        Its new __path__.

    Raises:
        ImportError: if another copy is imported already; names both and says what to do.
    """
    if name == _NAME:
        return Folders(folders)
    package = sys.modules.get(_NAME)
    if package is None:
        start = os.path.join(folders[0], "__init__.py")
        spec = importlib.util.spec_from_file_location(_NAME, start, submodule_search_locations=list(folders))
        package = sys.modules[_NAME] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(package)
        except BaseException:
            del sys.modules[_NAME]
            raise
    elif folders[0] not in package.__path__:
        raise ImportError(_second_copy(folders[0], package.__path__[0]))
    # fairseq imports what lies in models and tasks by this name: it must get the modules that are there.
    for known, module in list(sys.modules.items()):
        if known.split(".")[0] == _NAME:
            sys.modules[name + known[len(_NAME) :]] = module
    return package.__path__


def _second_copy(folder: str, imported: str) -> str:
    return (
        f"--user-dir={folder}: is a second copy of {_NAME}, which is imported already from {imported}. Both would "
        f"register the same models, whatever their names. Give --user-dir={imported}; or, to use the other copy, "
        f"uninstall this one (pip uninstall {_NAME}) or leave its folder"
    )
