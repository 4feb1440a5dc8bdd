"""Find out who handed in what: a folder of files, or of folders as an LMS downloads them."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from course_tools.grading.notebook import Submission, Unreadable, read_bytes
from course_utils.grading.item import Item
from course_utils.grading.items import all_items

CANVAS = re.compile(r"^(?P<student>[^_]+)_(?:LATE_)?(?P<id>\d+)_\d+_.+$", re.IGNORECASE)
MOODLE = re.compile(r"_assignsubmission_\w*$")
# what file systems and terminals take for more than a letter; the last turn the writing round
UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\u2028\u2029\u202a-\u202e\u2066-\u2069]')
IGNORED = {"__MACOSX", ".ipynb_checkpoints"}


@dataclass(frozen=True)
class Found:
    """A file that was handed in; `item` is None where it tells nothing of one."""

    student: str
    path: Path
    item: str | None = None
    fault: str = ""  # why it cannot be read
    older: tuple[str, ...] = ()  # names of files that it replaces


def collect(folder: Path, items: dict[str, Item]) -> list[Found]:
    """Every submission below `folder`, one for each student and item, by student.

    A student's newest file counts for an item. Files that cannot be read are kept, with the fault.
    """
    found: dict[tuple[str, str | None], Found] = {}
    for student, path in sorted(files(folder, items), key=lambda pair: (age(pair[1]), pair[1])):
        one = identify(student, path, items)
        if one is None:  # it answers an item that is not graded now
            continue
        if one.fault and (student, one.item) in found:
            continue  # an attachment beside a notebook
        if old := found.get((student, one.item)):
            one = replace(one, older=(*old.older, old.path.name))
        found[student, one.item] = one
    read = {student for (student, item), one in found.items() if item and not one.fault}
    return sorted(
        (f for f in found.values() if f.item or f.student not in read),
        key=lambda f: (f.student, f.item or ""),
    )


def age(path: Path) -> float:
    """When the file was written, in seconds; a link's own time."""
    return path.lstat().st_mtime


def files(folder: Path, items: dict[str, Item]) -> Iterator[tuple[str, Path]]:
    """Pairs of student and file: the folder a file lies in names its student, else its own name."""
    for entry in sorted(folder.iterdir()):
        if entry.name in IGNORED or entry.name.startswith("."):
            continue
        if entry.is_dir() and not entry.is_symlink():
            student = safe(MOODLE.sub("", entry.name))
            inside = [path for path in below(entry) if path.suffix == ".ipynb"]
            yield from ((student, path) for path in inside or list(below(entry)))
        else:
            yield safe(owner(entry.name, items)), entry


def below(folder: Path) -> Iterator[Path]:
    """All files below a folder; links to folders are not followed."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - IGNORED)
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def owner(name: str, items: dict[str, Item]) -> str:
    """The student that a file name tells: without suffix, item, copy number, LMS's numbers."""
    stem = whole = re.sub(
        r"(\.(ipynb|json|txt|py|pdf|html|zip|docx))+$", "", name, flags=re.IGNORECASE
    )
    if lms := CANVAS.match(stem):
        return f"{lms['student']}_{lms['id']}"
    stem = re.sub(r"[\s_-]*\(\d+\)$", "", stem)
    for item in items.values():
        words = f"({re.escape(item.notebook)}|{re.escape(item.name)})"
        stem = re.sub(rf"(^|[\s_-]+){words}(?=$|[\s_-])", "", stem, flags=re.IGNORECASE)
    return stem.strip(" _-") or whole  # it names nobody: two such files are not one student's


def safe(name: str) -> str:
    """A student's name as a file name; one that had to change gets a fingerprint."""
    text = unicodedata.normalize("NFC", os.fsencode(name).decode("utf-8", "replace"))
    clean = UNSAFE.sub("_", text).strip(" .")[:80]
    if clean == text and clean:
        return clean
    return f"{clean}~{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}"


def identify(student: str, path: Path, items: dict[str, Item]) -> Found | None:
    """Tell which item a file answers: by the names it defines, else by its own name.

    None if it answers an item that is not among `items`.
    """
    named = next((item.name for item in by_name(path, items.values())), None)
    if len(items) == 1:
        named = next(iter(items))
    try:
        submission = Submission.parse(read_bytes(path))
    except Unreadable as error:
        return Found(student, path, named, str(error))
    best = max(all_items().values(), key=submission.score)
    if submission.score(best):
        return Found(student, path, best.name) if best.name in items else None
    fault = "" if named else "it defines none of the names that an exercise asks for"
    return Found(student, path, named, fault)


def by_name(path: Path, items: Iterable[Item]) -> list[Item]:
    """Items that the file's name holds as a word."""
    words = re.split(r"[\W_]+", path.name.lower())
    return [item for item in items if item.name.lower() in words]
