"""The graded items, one module each with its public checks; each defines `ITEM`."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from course_utils.grading.item import Item


@cache
def all_items() -> dict[str, Item]:
    """Every item by its name, in order of the modules' names."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    found = [importlib.import_module(f"{__name__}.{name}").ITEM for name in names]
    return {item.name: item for item in found}
