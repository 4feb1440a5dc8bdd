"""The chapters' quizzes for a learning platform, from the same cells that the book shows.

QTI 2.1 is the standard of 1EdTech (once IMS) for questions: https://www.imsglobal.org/question/.
Moodle reads a format of its own: https://docs.moodle.org/en/Moodle_XML_format.
"""

from __future__ import annotations

import ast
import string
import zipfile
from pathlib import Path
from xml.etree import ElementTree as ET

import nbformat

from course_tools.checkout import ROOT

IMS = "http://www.imsglobal.org/xsd/"
QTI, PACKAGE = IMS + "imsqti_v2p1", IMS + "imscp_v1p1"
LETTERS = string.ascii_uppercase


def quizzes(root: Path = ROOT) -> dict[str, list[dict]]:
    """The questions of each chapter by its title, as `course_utils.show.quiz` takes them.

    Raises ValueError for a quiz whose questions are computed: they must stand in the cell.
    """
    found: dict[str, list[dict]] = {}
    for path in sorted((root / "chapters").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        title = cells[0].source.splitlines()[0].removeprefix("# ")
        for cell in cells:
            if cell.cell_type == "code" and cell.source.startswith("quiz("):
                call = ast.parse(cell.source).body[0].value  # type: ignore[attr-defined]
                try:
                    found.setdefault(title, []).extend(ast.literal_eval(call.args[0]))
                except ValueError as error:
                    raise ValueError(f"{path.name}: a question is computed: {error}") from error
    return found


def add(parent: ET.Element, tag: str, text: str = "", **attributes: str) -> ET.Element:
    """Append an element and return it."""
    element = ET.SubElement(parent, tag, attributes)
    element.text = text or None
    return element


def qti_item(name: str, title: str, question: dict) -> ET.Element:
    """One question as a QTI item: the choice is scored, and its explanation shown."""
    choices = dict(zip(LETTERS, question["answers"], strict=False))
    item = ET.Element("assessmentItem", xmlns=QTI, identifier=name, title=title)
    item.attrib |= {"adaptive": "false", "timeDependent": "false"}
    answer = {"cardinality": "single", "baseType": "identifier"}
    declared = add(item, "responseDeclaration", identifier="RESPONSE", **answer)
    right = next(letter for letter, choice in choices.items() if choice["correct"])
    add(add(declared, "correctResponse"), "value", right)
    score = {"cardinality": "single", "baseType": "float"}
    declared = add(item, "outcomeDeclaration", identifier="SCORE", **score)
    add(add(declared, "defaultValue"), "value", "0")
    add(item, "outcomeDeclaration", identifier="FEEDBACK", **answer)
    asked = {"responseIdentifier": "RESPONSE", "shuffle": "false", "maxChoices": "1"}
    interaction = add(add(item, "itemBody"), "choiceInteraction", **asked)
    add(interaction, "prompt", question["question"])
    for letter, choice in choices.items():
        add(interaction, "simpleChoice", choice["answer"], identifier=letter)
    rule = add(item, "responseProcessing")
    if_right = add(add(rule, "responseCondition"), "responseIf")
    both = add(if_right, "match")
    add(both, "variable", identifier="RESPONSE")
    add(both, "correct", identifier="RESPONSE")
    add(add(if_right, "setOutcomeValue", identifier="SCORE"), "baseValue", "1", baseType="float")
    shown = add(rule, "setOutcomeValue", identifier="FEEDBACK")
    add(shown, "variable", identifier="RESPONSE")
    for letter, choice in choices.items():
        when = {"outcomeIdentifier": "FEEDBACK", "showHide": "show", "identifier": letter}
        add(item, "modalFeedback", choice["feedback"], **when)
    return item


def qti_test(name: str, title: str, items: list[str]) -> ET.Element:
    """A chapter's quiz: its items in order, submitted one by one, so that each explains itself."""
    test = ET.Element("assessmentTest", xmlns=QTI, identifier=name, title=title)
    add(test, "outcomeDeclaration", identifier="SCORE", cardinality="single", baseType="float")
    mode = {"navigationMode": "nonlinear", "submissionMode": "individual"}
    part = add(test, "testPart", identifier="part", **mode)
    section = add(part, "assessmentSection", identifier="questions", title=title, visible="true")
    for item in items:
        add(section, "assessmentItemRef", identifier=item, href=f"{item}.xml")
    total = add(add(test, "outcomeProcessing"), "setOutcomeValue", identifier="SCORE")
    add(add(total, "sum"), "testVariables", variableIdentifier="SCORE")
    return test


def write_qti(path: Path, root: Path = ROOT) -> int:
    """Write all quizzes as one QTI 2.1 content package; return how many questions it holds."""
    manifest = ET.Element("manifest", xmlns=PACKAGE, identifier="quizzes")
    described = add(manifest, "metadata")
    add(described, "schema", "QTIv2.1 Package")
    add(described, "schemaversion", "1.0.0")
    add(manifest, "organizations")
    resources = add(manifest, "resources")
    files: dict[str, ET.Element] = {}
    for number, (title, questions) in enumerate(quizzes(root).items(), 1):
        names = [f"quiz{number}_{count}" for count in range(1, len(questions) + 1)]
        for count, (name, question) in enumerate(zip(names, questions, strict=True), 1):
            files[name] = qti_item(name, f"{title}, question {count}", question)
            _resource(resources, name, "imsqti_item_xmlv2p1")
        files[f"quiz{number}"] = qti_test(f"quiz{number}", title, names)
        listed = _resource(resources, f"quiz{number}", "imsqti_test_xmlv2p1")
        for name in names:
            add(listed, "dependency", identifierref=name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        for name, element in {"imsmanifest": manifest, **files}.items():
            ET.indent(element)
            text = ET.tostring(element, "utf-8", xml_declaration=True)
            package.writestr(f"{name}.xml", text)
    return sum(element.tag == "assessmentItem" for element in files.values())


def _resource(resources: ET.Element, name: str, kind: str) -> ET.Element:
    listed = add(resources, "resource", identifier=name, type=kind, href=f"{name}.xml")
    add(listed, "file", href=f"{name}.xml")
    return listed


def write_moodle(path: Path, root: Path = ROOT) -> int:
    """Write all quizzes as Moodle XML, a category for each chapter; return how many questions."""
    quiz = ET.Element("quiz")
    written = 0
    for title, questions in quizzes(root).items():
        place = add(add(quiz, "question", type="category"), "category")
        add(place, "text", f"$course$/{title.replace('/', '//')}")
        for count, question in enumerate(questions, 1):
            asked = add(quiz, "question", type="multichoice")
            add(add(asked, "name"), "text", f"{title}, question {count}")
            add(add(asked, "questiontext", format="plain_text"), "text", question["question"])
            add(asked, "single", "true")
            add(asked, "shuffleanswers", "0")
            for choice in question["answers"]:
                mark = "100" if choice["correct"] else "0"
                answer = add(asked, "answer", fraction=mark, format="plain_text")
                add(answer, "text", choice["answer"])
                add(add(answer, "feedback", format="plain_text"), "text", choice["feedback"])
            written += 1
    path.parent.mkdir(parents=True, exist_ok=True)
    ET.indent(quiz)
    ET.ElementTree(quiz).write(path, "utf-8", xml_declaration=True)
    return written
