"""Progress bars that are silent where nobody watches."""

from typing import Iterable, Optional, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def progress(items: Iterable[Item], what: str, unit: str = " lines", total: Optional[int] = None) -> Iterable[Item]:
    """The same items, with a bar on a terminal; elsewhere nothing is printed."""
    return tqdm(items, desc=what, unit=unit, unit_scale=True, total=total, disable=None, leave=False)
