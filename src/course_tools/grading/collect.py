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
MOODLE = re.compile(r"^(?P<student>.+)_(?P<id>\d+)_assignsubmission_[a-z]+(_|$)")
# what file systems and terminals take for more than a letter; the last turn the writing round
UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\u2028\u2029\u202a-\u202e\u2066-\u2069]')
ANSWERED = 0.5  # share of an item's names that a second item in one notebook must define
LONGEST = 120  # bytes of a name: file systems take 255, with what is added to it
IGNORED = {"__MACOSX", ".ipynb_checkpoints"}
NOBODY = re.compile(r"(thumbs\.db|desktop\.ini|readme(\.\w+)?|index\.html?)", re.IGNORECASE)


@dataclass(frozen=True)
class Found:
    """A file that was handed in; `item` is None where it tells nothing of one."""

    student: str
    path: Path
    item: str | None = None
    fault: str = ""  # why it cannot be read
    older: tuple[str, ...] = ()  # names of files that it replaces


def collect(folder: Path, items: dict[str, Item], out: Path | None = None) -> list[Found]:
    """Every submission below `folder`, one for each student and item, by student.

    A student's newest file counts for an item. Files that cannot be read are kept, with the fault;
    `out`, the folder of the marks, is none of them.
    """
    found: dict[tuple[str, str | None], Found] = {}
    for student, path in sorted(files(folder, items, out), key=lambda p: (age(p[1]), p[1])):
        for one in identify(student, path, items):
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


def files(
    folder: Path, items: dict[str, Item], out: Path | None = None
) -> Iterator[tuple[str, Path]]:
    """Pairs of student and file: the folder a file lies in names its student, else its own name.

    A folder without files stands for itself: its student handed in something that is not there.
    """
    for entry in sorted(folder.iterdir()):
        if entry.name in IGNORED or entry.name.startswith(".") or NOBODY.fullmatch(entry.name):
            continue
        if out and entry.resolve() == out.resolve():
            continue
        if entry.is_symlink() or not entry.is_dir():
            yield safe(owner(entry.name, items)), entry
            continue
        every = list(below(entry))
        inside = [path for path in every if path.suffix == ".ipynb"]
        if inside and all(from_lms(path.name) for path in inside) and not from_lms(entry.name):
            yield from files(entry, items, out)  # a download that was unpacked as a whole
            continue
        lms = MOODLE.match(entry.name)
        student = safe(f"{lms['student']}_{lms['id']}" if lms else entry.name)
        yield from ((student, path) for path in inside or every or [entry])


def from_lms(name: str) -> bool:
    """Whether Canvas or Moodle gave a file its name, and so says whose it is."""
    return bool(MOODLE.match(name) or CANVAS.match(name))


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
    if lms := MOODLE.match(stem) or CANVAS.match(stem):
        return f"{lms['student']}_{lms['id']}"
    stem = re.sub(r"[\s_-]*\(\d+\)$", "", stem)
    for item in items.values():
        words = f"({re.escape(item.notebook)}|{re.escape(item.name)})"
        stem = re.sub(rf"(^|[\s_-]+){words}(?=$|[\s_-])", "", stem, flags=re.IGNORECASE)
    return stem.strip(" _-") or whole  # it names nobody: two such files are not one student's


def safe(name: str) -> str:
    """A student's name as a file name; one that had to change gets a fingerprint."""
    text = unicodedata.normalize("NFC", os.fsencode(name).decode("utf-8", "replace"))
    clean = UNSAFE.sub("_", text).strip(" .").encode()[:LONGEST].decode("utf-8", "ignore").strip()
    if clean == text and clean:
        return clean
    return f"{clean}~{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}"


def identify(student: str, path: Path, items: dict[str, Item]) -> list[Found]:
    """Tell which items a file answers: by the names it defines, else by its own name.

    None if it answers only items that are not among `items`.
    """
    named = next((item.name for item in by_name(path, items.values())), None)
    if len(items) == 1:
        named = next(iter(items))
    try:
        submission = Submission.parse(read_bytes(path))
    except Unreadable as error:
        return [Found(student, path, named, str(error))]
    scores = {item.name: submission.score(item) for item in all_items().values()}
    best = max(scores, key=lambda name: scores[name])
    if not scores[best]:
        fault = "" if named else "it defines none of the names that an exercise asks for"
        return [Found(student, path, named, fault)]
    answered = [name for name, share in scores.items() if name == best or share >= ANSWERED]
    return [Found(student, path, name) for name in answered if name in items]


def by_name(path: Path, items: Iterable[Item]) -> list[Item]:
    """Items that the file's name holds as a word."""
    words = re.split(r"[\W_]+", path.name.lower())
    return [item for item in items if item.name.lower() in words]
