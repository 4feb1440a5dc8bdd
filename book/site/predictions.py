"""Sphinx extension of this book: what a reader predicts is compared with what was measured.

A chapter asks in a Markdown cell:

    <div class="predict" data-answer="best (\\d+)%" data-min="50" data-max="100" data-unit="%">

    How good is the best of forty draws?

    </div>

`data-answer` is looked for in the outputs of the cells below, so the result is the one that the
notebook computed. A number gets a slider from `data-min` to `data-max` (`data-step`; `data-scale`
"log" for orders of magnitude). `data-choices` "True: yes|False: no" gives buttons, one for each
value that can be found; with `data-pick` "largest" or "smallest" the pattern finds one number for
each choice, in their order. Without scripts the result stands below a fold.
"""

import html
import json
import re
from pathlib import Path

from sphinx.errors import ExtensionError

PROMPT = re.compile(r'<div class="predict"([^>]*)>\n\n(.*?)\n\n</div>', re.DOTALL)
ATTRIBUTE = re.compile(r'data-([\w-]+)="([^"]*)"')
LIST = "<!-- predictions -->"


def written(cells):
    """All text that these cells put out."""
    found = []
    for cell in cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            found.append(output.get("text") or data.get("text/markdown") or data.get("text/plain"))
    return "\n".join("".join(text) for text in found if text)


def number(text):
    """The number that a text writes with commas."""
    return float(text.replace(",", ""))


def measured(asked, text):
    """What was measured, as the page has it: a number, or one of the choices.

    Raises ValueError when the text does not say it.
    """
    found = re.search(asked["answer"], text)
    if not found:
        raise ValueError(f"no output below it matches {asked['answer']!r}")
    if "choices" not in asked:
        return number(found[1])
    choices = asked["choices"].split("|")
    if "pick" in asked:
        if len(found.groups()) != len(choices):
            raise ValueError(f"{asked['answer']!r} must find one number for each choice")
        best = {"largest": max, "smallest": min}[asked["pick"]]
        values = [number(group) for group in found.groups()]
        return choices[values.index(best(values))]
    names = dict(choice.split(": ", 1) for choice in choices)
    if found[1] not in names:
        raise ValueError(f"{found[1]!r} is none of the choices")
    return names[found[1]]


def prompts(notebook):
    """Each prompt of a notebook, in order: its id, what it asks, its settings with the answer.

    Raises ValueError, with the cell's id, for one whose answer is not found.
    """
    cells = notebook["cells"]
    for place, cell in enumerate(cells):
        if cell["cell_type"] != "markdown":
            continue
        for count, match in enumerate(PROMPT.finditer("".join(cell["source"]))):
            asked = {name: html.unescape(value) for name, value in ATTRIBUTE.findall(match[1])}
            try:
                answer = measured(asked, written(cells[place + 1 :]))
            except ValueError as error:
                raise ValueError(f"cell {cell['id']}: {error}") from error
            if "pick" not in asked and "choices" in asked:
                names = [choice.split(": ", 1)[1] for choice in asked["choices"].split("|")]
                asked["choices"] = "|".join(names)
            asked.pop("pick", None)
            identity = f"predict-{cell['id']}" + (f"-{count + 1}" if count else "")
            yield identity, " ".join(match[2].split()), asked | {"answer": answer}


def words(asked):
    """The result as a reader sees it without scripts."""
    answer = asked["answer"]
    return answer if isinstance(answer, str) else f"{answer:,.10g}{asked.get('unit', '')}"


def attributes(identity, asked):
    """What a script must know of a prompt, as attributes."""
    said = {"id": identity} | {f"data-{name}": value for name, value in asked.items()}
    return " ".join(f'{name}="{html.escape(str(value))}"' for name, value in said.items())


def answered(notebook):
    """Put into each prompt of a notebook what was measured."""
    found = iter(list(prompts(notebook)))

    def with_answer(match):
        identity, _, asked = next(found)
        fold = f"<details><summary>What was measured</summary>\n\n{words(asked)}\n\n</details>"
        return (
            f'<div class="predict" {attributes(identity, asked)}>\n\n{match[2]}\n\n{fold}\n\n</div>'
        )

    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = PROMPT.sub(with_answer, "".join(cell["source"]))
    return notebook


def listed(root):
    """All prompts of the book as lists, with links; a script adds what a reader predicted."""
    parts = []
    for path in sorted((root / "chapters").glob("*.ipynb")):
        notebook = json.loads(path.read_text("utf-8"))
        rows = []
        for identity, question, asked in prompts(notebook):
            link = f"../chapters/{path.stem}.html#{identity}"
            text = re.sub(r"[*`]", "", question)
            said = f'<a href="{link}">{html.escape(text)}</a>'
            rows.append(f"<li {attributes(f'of-{identity}', asked)}>{said}</li>")
        if rows:
            title = "".join(notebook["cells"][0]["source"]).splitlines()[0].lstrip("# ")
            parts.append(f"## {title}\n\n<ul>{''.join(rows)}</ul>")
    return "\n\n".join(parts)


def fill_in(app, docname, source):
    """Give chapters their answers, and the page of predictions its list."""
    try:
        if docname.startswith("chapters/") and "predict" in source[0]:
            source[0] = json.dumps(answered(json.loads(source[0])))
        if LIST in source[0]:
            source[0] = source[0].replace(LIST, listed(Path(app.srcdir)))
    except ValueError as error:
        raise ExtensionError(f"{docname}: a prediction has no result: {error}") from error


def setup(app):
    """Register the extension."""
    app.connect("source-read", fill_in)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
