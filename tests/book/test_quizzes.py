"""The quizzes as QTI 2.1 and Moodle XML: every question of the chapters, in the standard's form.

The standard's schema files may not be had from a package. `CONTENT` and `ATTRIBUTES` are what they
say of the elements that occur here: children in this order, and attributes that must be there.
"""

import re
import shutil
import zipfile
from xml.etree import ElementTree as ET

import nbformat
import pytest

from course_tools.book import quizzes
from course_tools.checkout import ROOT

CONTENT = {
    "assessmentItem": "responseDeclaration( outcomeDeclaration)* itemBody responseProcessing"
    "( modalFeedback)*",
    "responseDeclaration": "correctResponse",
    "correctResponse": "value",
    "outcomeDeclaration": "(defaultValue)?",
    "defaultValue": "value",
    "itemBody": "choiceInteraction",
    "choiceInteraction": "prompt( simpleChoice)+",
    "responseProcessing": "responseCondition setOutcomeValue",
    "responseCondition": "responseIf",
    "responseIf": "match setOutcomeValue",
    "match": "variable correct",
    "setOutcomeValue": "baseValue|variable|sum",
    "assessmentTest": "outcomeDeclaration testPart outcomeProcessing",
    "testPart": "assessmentSection",
    "assessmentSection": "assessmentItemRef( assessmentItemRef)*",
    "outcomeProcessing": "setOutcomeValue",
    "sum": "testVariables",
    "manifest": "metadata organizations resources",
    "metadata": "schema schemaversion",
    "resources": "resource( resource)*",
    "resource": "file( dependency)*",
}
ATTRIBUTES = {
    "assessmentItem": "identifier title adaptive timeDependent",
    "responseDeclaration": "identifier cardinality baseType",
    "outcomeDeclaration": "identifier cardinality baseType",
    "choiceInteraction": "responseIdentifier shuffle maxChoices",
    "simpleChoice": "identifier",
    "variable": "identifier",
    "correct": "identifier",
    "setOutcomeValue": "identifier",
    "baseValue": "baseType",
    "modalFeedback": "outcomeIdentifier showHide identifier",
    "assessmentTest": "identifier title",
    "testPart": "identifier navigationMode submissionMode",
    "assessmentSection": "identifier title visible",
    "assessmentItemRef": "identifier href",
    "testVariables": "variableIdentifier",
    "manifest": "identifier",
    "resource": "identifier type href",
    "file": "href",
    "dependency": "identifierref",
}


def local(element: ET.Element) -> str:
    """The name of an element without its namespace."""
    return element.tag.partition("}")[2]


def faults(tree: ET.Element) -> list[str]:
    """Where a document departs from what the standard says of its elements."""
    found = []
    for element in tree.iter():
        name, children = local(element), " ".join(map(local, element))
        if not re.fullmatch(CONTENT.get(name, ""), children):
            found.append(f"{name} holds {children}")
        if sorted(element.attrib) != sorted(ATTRIBUTES.get(name, "").split()):
            found.append(f"{name} has {sorted(element.attrib)}")
        identifier = element.get("identifier", "none")
        if not re.fullmatch(r"[A-Za-z_][\w.-]*", identifier):
            found.append(f"{identifier!r} is no identifier")
    return found


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The documents of the package by name, as a reader of XML sees them."""
    path = tmp_path_factory.mktemp("qti") / "new/quizzes.zip"
    assert quizzes.write_qti(path) == sum(map(len, quizzes.quizzes().values()))
    with zipfile.ZipFile(path) as file:
        return {name: ET.fromstring(file.read(name)) for name in file.namelist()}


def test_every_question_of_every_chapter_is_there():
    found = quizzes.quizzes()
    assert len(found) == 5 and all(len(questions) >= 5 for questions in found.values())
    read = [nbformat.read(path, 4).cells for path in ROOT.glob("chapters/*.ipynb")]
    asked = sum(cell.source.count('"question": ') for cells in read for cell in cells)
    assert sum(map(len, found.values())) == asked


def test_each_document_has_the_form_of_the_standard(package):
    said = {name: faults(tree) for name, tree in package.items()}
    assert not {name: found for name, found in said.items() if found}
    spaces = {name: tree.tag.partition("}")[0][1:] for name, tree in package.items()}
    assert spaces.pop("imsmanifest.xml") == quizzes.PACKAGE and set(spaces.values()) == {
        quizzes.QTI
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<prompt>", "<prompt><b/>"),
        (' shuffle="false"', ""),
        ('identifier="quiz1_1"', 'identifier="1"'),
        ("<correct ", "<baseValue "),
    ],
)
def test_canary_of_the_form(old, new):
    (title, questions), *_ = quizzes.quizzes().items()
    text = ET.tostring(quizzes.qti_item("quiz1_1", title, questions[0]), "unicode")
    assert not faults(ET.fromstring(text)) and old in text
    assert faults(ET.fromstring(text.replace(old, new, 1)))


def test_a_right_answer_scores_and_every_choice_is_explained(package):
    spaces = {"q": quizzes.QTI}
    for title, questions in quizzes.quizzes().items():
        for count, question in enumerate(questions, 1):
            (item,) = [
                t for t in package.values() if t.get("title") == f"{title}, question {count}"
            ]
            choices = item.findall(".//q:simpleChoice", spaces)
            assert [c.text for c in choices] == [a["answer"] for a in question["answers"]]
            right = item.find(".//q:correctResponse/q:value", spaces).text
            (expected,) = [a["answer"] for a in question["answers"] if a["correct"]]
            assert [c.text for c in choices if c.get("identifier") == right] == [expected]
            said = {f.get("identifier"): f.text for f in item.findall("q:modalFeedback", spaces)}
            assert [said[c.get("identifier")] for c in choices] == [
                a["feedback"] for a in question["answers"]
            ]


def test_whatever_is_referred_to_is_in_the_package(package):
    manifest = package["imsmanifest.xml"]
    listed = [e.get("href") for e in manifest.iter() if local(e) == "file"]
    assert sorted([*listed, "imsmanifest.xml"]) == sorted(package)
    known = {e.get("identifier") for e in manifest.iter() if local(e) == "resource"}
    for tree in package.values():
        for element in tree.iter():
            if local(element) == "dependency":
                assert element.get("identifierref") in known
            if local(element) == "assessmentItemRef":
                assert package[element.get("href")].get("identifier") == element.get("identifier")


def test_moodle_xml_marks_one_answer_of_each_question(tmp_path):
    path = tmp_path / "quizzes.xml"
    written = quizzes.write_moodle(path)
    tree = ET.parse(path)
    asked = tree.findall("question[@type='multichoice']")
    assert written == len(asked) == sum(map(len, quizzes.quizzes().values()))
    assert len(tree.findall("question[@type='category']")) == 5
    for question in asked:
        answers = question.findall("answer")
        assert sorted(a.get("fraction") for a in answers)[-2:] == ["0", "100"]
        assert all(a.findtext("text") and a.findtext("feedback/text") for a in answers)


def test_a_computed_question_is_refused(tmp_path):
    (tmp_path / "chapters").mkdir()
    path = next(ROOT.glob("chapters/*.ipynb"))
    shutil.copy(path, tmp_path / "chapters")
    notebook = nbformat.read(tmp_path / "chapters" / path.name, 4)
    notebook.cells.append(nbformat.v4.new_code_cell("quiz([question(7)])"))
    nbformat.write(notebook, tmp_path / "chapters" / path.name)
    with pytest.raises(ValueError, match=f"{path.name}: a question is computed"):
        quizzes.quizzes(tmp_path)
