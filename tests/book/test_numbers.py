"""The number rule: a number in prose comes from a run, stands by a citation, or is an assumption.

What a cell prints is not prose. What is left are the Markdown cells of the chapters and the pages
of the book. A sentence (or a table) with digits must cite, or link to where the number is computed
or checked, or say that it assumes; or the number stands in the chapter's code, as a setting. Not
counted: code, formulas, names (T5, 80/10/10), numbers of sections, figures and chapters, ids of
exercises, years, and counts up to twelve.
"""

import json
import re

import pytest
from chapter import FINISHED, ROOT, Chapter, source

from course_utils.cost import Hardware, train_flops

NAMES = r"""
    `[^`]*` | \$\$.*?\$\$ | \$[^$]*\$ | <[^>]*>               # code, formulas, tags
  | \{(?:cite|ref|doc|eq|numref|term)[^}]*\}`[^`]*`
  | \]\([^)]*\) | https?://\S+
  | \b(?:Section|Chapter|Equation|Figure|Table|Appendix|Eq\.|[Ee]xercise)s?
    \s[\[(]?[\dA-Z][\d.a-z]*(?:\s(?:and|to|or)\s[\dA-Z][\d.a-z]*)*
  | \(?\d+\.\d+(?:\.\d+)?(?:,\s\d+\.\d+|\sto\s\d+\.\d+)*\)?(?=\s\||\]) | ^\#+\s[\d.]+
  | \b80/10/10\b | \b[A-Za-z][\w.+-]*\d[\w.-]*               # T5, P2, BERT-style names, bf16
  | \bfp(?:16|32)\b | \b(?:19|20)\d\d\b(?!,\d)              # years
  | ^\s*\d+\.\s                                              # lists
  | [−-]?100\b(?=\swhere|\sat|\sfor|,|\.|\s\(|\sin)          # the label that is left out
  | (?:app|ch|sec|§|p|pp|eq|table)\.?\s?[A-Z]?[\d.]+
"""
COUNTS = r"(?<![\d.,%])\b(?:\d|1[0-2])\b(?![\d.,]*\d|%|\s?[MBkT]\b|\sGB|\stimes|\spercent)"
CITES = re.compile(r"\{cite:|\]\((?:#|\.\./|09_|https?:)|assum|Section|Reading: about")


def sentences(text: str) -> list[str]:
    """Sentences; a table is one with the paragraph that announces it."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^\(\S+\)=$|^\$\$.*?^\$\$", "", text, flags=re.DOTALL | re.MULTILINE)
    found: list[str] = []
    for block in re.split(r"\n\s*\n", text):
        if block.lstrip().startswith("|"):
            found.append(" ".join(found[-1:]) + "\n" + block)
        else:
            found += re.split(r"(?<=[.!?])\s+(?=[A-Z*_\[`(|])", " ".join(block.split()))
    return found


def bare_numbers(sentence: str) -> set[str]:
    """Digits of a sentence that need a source."""
    plain = re.sub(NAMES, " ", sentence, flags=re.VERBOSE | re.MULTILINE)
    plain = re.sub(COUNTS, " ", plain)
    return {found.rstrip(".,") for found in re.findall(r"\d[\d.,]*(?:e-?\d+)?%?", plain)}


def unsourced(text: str, code: str = "") -> list[tuple[set[str], str]]:
    """Sentences with numbers that come from nowhere: neither cited nor written in the code."""
    settings = set(re.findall(r"\d[\d_.]*(?:e-?\d+)?", code))
    shares = {f"{100 * float(s):g}%" for s in settings if re.fullmatch(r"0?\.\d+", s)}
    known = {s.replace("_", "").rstrip(".") for s in settings} | shares
    found = []
    for sentence in sentences(text):
        left = {n for n in bare_numbers(sentence) if n.replace(",", "") not in known}
        if left and not CITES.search(sentence):
            found.append((left, sentence))
    return found


@pytest.mark.parametrize("name", FINISHED)
def test_every_number_in_a_chapter_has_a_source(name):
    chapter = Chapter(name)
    assert unsourced(chapter.prose, "\n".join(map(source, chapter.code))) == []


def test_a_number_from_nowhere_is_found():
    assert unsourced("It gains 30–50% on rare words.") and unsourced("| speed | 95 |")
    assert not unsourced("It has 110M weights {cite:p}`devlin-2019-bert`, and T5 has 3 sizes.")
    assert not unsourced("In segments of 64 pieces, 15% are hidden.", "pack(ids, 64, rate=0.15)")


def test_a_quantity_is_the_same_number_on_every_page():
    """What BERT-base cost: in 9.1, in the appendix, and in the live figure and its still."""
    fits = Hardware(peak=300e12, used=0.33, price=2.0)
    flops = train_flops(110e6, 42.6e9)
    hours, dollars = f"{fits.hours(flops):.0f}", f"{fits.price_of(flops):.0f}"
    shown = Chapter("09_1_pretraining_revolution").output_of("pre-training BERT-base")
    assert f"| {hours} hours | ${dollars} |" in shown
    appendix = (ROOT / "book/appendix_e_cost.md").read_text("utf-8")
    assert f"`{hours} hours, {dollars} dollars`" in appendix
    still = json.loads((ROOT / "book/site/style/stills/stills.json").read_text("utf-8"))
    assert f" {dollars} dollars" in still["stills"]["cost"]["alt"]
    script = (ROOT / "book/site/live/page/cost.js").read_text("utf-8")
    assert "110e6, 42.6e9, 1]" in script and "used: 33," in script
