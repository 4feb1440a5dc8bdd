"""F6: MiniLM fine-tuned in full, beside the same architecture from scratch, by number of labels.

Four ways to use n labelled sentences: the whole encoder fine-tuned from its published weights, the
same architecture from random ones, the frozen encoder under a logistic regression, and a bag of
words. Every point is one draw of n training sentences; all four see the same draws.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import nn

from course_tools.experiments.data_efficiency import band, majority, states
from course_tools.experiments.small import crossed, dataset, labelled
from course_utils.data.examples import draw, encode
from course_utils.data.sources import load_pretrained
from course_utils.models import Bert
from course_utils.models.heads import SequenceClassifier
from course_utils.models.huggingface import from_hf
from course_utils.recipes import seeded
from course_utils.training.finetune import batches, finetune, loss_and_accuracy
from course_utils.writing import read_json, write_json

QUESTION = "How much is a pre-trained start worth when the whole encoder is fine-tuned?"
RULE = """Yes: at 100, 316 and 1,000 labels, on both tasks, fine-tuning the published encoder is at
least 10 points above the same architecture from scratch, in the mean over draws, and the gain is
more than twice its standard deviation over draws. No: on both tasks the gain at 1,000 labels is
below 5 points. Silent: anything else."""
CONTROLS = """The same architecture from random weights, with its own rate and enough epochs; a bag
of words and the frozen encoder, each with a strength of regularisation chosen by cross-validation
inside the draw; the share of the commonest label."""
JUDGED = (100, 316, 1000)  # labels, in the rule

SETTINGS: dict[str, Any] = {
    "sources": ["films", "questions", "minilm"],
    "tasks": ["films", "questions"],
    "sizes": [32, 100, 178, 316, 562, 1000],
    "models": ["bag of words", "frozen", "fine-tuned", "from scratch"],
    "seeds": 3,
    # the highest rate is the best on validation sentences, of a draw that is used for nothing else
    "rates": {"fine-tuned": (1e-4, 2e-4, 4e-4), "from scratch": (2e-4, 5e-4, 1e-3)},
    "tuning": {"size": 316, "seed": 100, "sentences": 300},
    "epochs": {"fine-tuned": 4, "from scratch": 20},
    "steps": {"fine-tuned": 60, "from scratch": 200},  # at least
    "max_length": 48,  # tokens of a text
    "test_texts": 600,
}
TINY = {
    "tasks": ["questions"],
    "sizes": [40],
    "seeds": 1,
    "rates": {"fine-tuned": (1e-4,), "from scratch": (1e-4,)},
    "epochs": {"fine-tuned": 0.1, "from scratch": 0.1},
    "steps": {"fine-tuned": 1, "from scratch": 1},
    "test_texts": 20,
}
STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)


def trials(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Every way at every size and draw, for every task."""
    return crossed(settings, task="tasks", size="sizes", model="models")


def measure(
    settings: dict[str, Any], task: str, model: str, size: int, seed: int
) -> dict[str, Any]:
    """Learn from a draw of n sentences, and read the test sentences once."""
    data = dataset(task)
    chosen = data["train"][draw(len(data["train"]), size, seed)]
    test = labelled(task, "test", settings["test_texts"])
    found: dict[str, Any] = {"examples": size, "majority": majority(test["label"])}
    if model in settings["rates"]:
        found["rate"] = best_rate(settings, task, model)
        tuned = tune(settings, model, chosen, found["rate"], seed)
        found["test_accuracy"] = share_right(settings, tuned, test)
    else:
        features = word_counts if model == "bag of words" else vectors
        found["test_accuracy"] = regression(
            *features(task, settings["max_length"], chosen["text"], test["text"]),
            chosen["label"],
            test["label"],
        )
    return found


@lru_cache(maxsize=1)
def minilm() -> tuple[Bert, Any]:
    """The published encoder as our model, and its tokenizer."""
    source = load_pretrained("minilm")
    return from_hf(source.model), source.tokenizer


def classifier_from(model: str, labels: int, seed: int) -> nn.Module:
    """A classifier of so many labels over the published encoder, or over a random one."""
    encoder, _ = minilm()
    known = model == "fine-tuned"
    return seeded(
        lambda: SequenceClassifier(
            copy.deepcopy(encoder) if known else Bert(encoder.config), labels
        ),
        seed,
    )


def tune(
    settings: dict[str, Any], model: str, chosen: dict[str, list], rate: float, seed: int
) -> nn.Module:
    """Train the whole of a classifier on the chosen sentences."""
    _, tokenizer = minilm()
    examples = encode(chosen, tokenizer, settings["max_length"])
    a_step = 32
    epochs = max(settings["epochs"][model], settings["steps"][model] * a_step / len(examples))
    classifier = classifier_from(model, 1 + max(chosen["label"]), seed)
    first = type(examples)(examples.ids[:a_step], examples.labels[:a_step])
    finetune(
        classifier,
        examples,
        first,  # nothing is decided by it
        pad_token_id=tokenizer.pad_token_id,
        epochs=epochs,
        batch_size=a_step,
        evaluations=1,
        learning_rate=rate,
        mixed_precision="bf16",
        device="cpu",
        seed=seed,
        progress=False,
    )
    return classifier.eval()


def share_right(settings: dict[str, Any], classifier: nn.Module, texts: dict[str, list]) -> float:
    """Accuracy on texts with labels."""
    _, tokenizer = minilm()
    examples = encode(texts, tokenizer, settings["max_length"])
    parts = batches(classifier, examples, tokenizer.pad_token_id, 50)
    return loss_and_accuracy(classifier, parts, "test")["test_accuracy"]


def best_rate(settings: dict[str, Any], task: str, model: str) -> float:
    """The rate with the highest accuracy on validation sentences."""

    def score(rate: float, chosen: dict[str, list], judge: dict[str, list], seed: int) -> float:
        return share_right(settings, tune(settings, model, chosen, rate, seed), judge)

    return best_try(settings, task, model, settings["rates"][model], score)


def best_try(
    settings: dict[str, Any], task: str, model: str, tries: Sequence[Any], score: Callable
) -> Any:
    """The try with the highest score(try, train, validation, seed); measured once, then read.

    It learns from a draw that is used for nothing else.
    """
    place = Path(settings["folder"]) / f"rates/{task} {model}.json"
    if not place.is_file():
        how, data = settings["tuning"], dataset(task)
        chosen = data["train"][draw(len(data["train"]), how["size"], how["seed"])]
        judge = labelled(task, "validation", how["sentences"])
        scores = [score(one, chosen, judge, how["seed"]) for one in tries]
        write_json(place, {"rates": tries, "validation_accuracy": scores})
    tried = read_json(place)
    pairs = zip(tried["validation_accuracy"], tried["rates"], strict=True)
    return max(pairs)[1]


def word_counts(task: str, most: int, chosen: list[str], test: list[str]) -> tuple[Any, Any]:
    """Words and pairs of words, weighted by rarity."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    counter = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    return counter.fit_transform(chosen), counter.transform(test)


def vectors(task: str, most: int, chosen: list[str], test: list[str]) -> tuple[Any, Any]:
    """Means of the frozen encoder's last hidden states."""
    source = load_pretrained("minilm")
    read = (states(source.model, source.tokenizer, texts, most) for texts in (chosen, test))
    return tuple(read)


def regression(learn: Any, test: Any, labels: list[int], answers: list[int]) -> float:
    """Accuracy of a logistic regression, its strength chosen by cross-validation in the draw."""
    from scipy.sparse import issparse
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    before = [] if issparse(learn) else [StandardScaler()]  # TF-IDF has its own scale
    classifier = make_pipeline(*before, LogisticRegression(max_iter=1000))
    search = GridSearchCV(classifier, {"logisticregression__C": STRENGTHS}, cv=5)
    return float(search.fit(learn, labels).score(test, answers))


def summarise(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """For each task, way and n: the accuracies; and what fine-tuning gains over scratch."""
    rates = {f"{t['task']}, {t['model']}": t["rate"] for t in trials if "rate" in t}
    return compared(trials, "fine-tuned", "from scratch") | {"rates": rates}


def compared(trials: list[dict[str, Any]], known: str, other: str) -> dict[str, Any]:
    """Accuracies of each task, model and n; and points by which models `known` are above `other`.

    The name of the one contains `known`, that of the other `other` in its place.
    """
    groups: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for trial in trials:
        groups.setdefault((trial["task"], trial["model"], trial["examples"]), []).append(trial)
    points = [
        {"task": task, "model": model, "examples": size}
        | band([t["test_accuracy"] for t in group], group[0]["majority"])
        for (task, model, size), group in groups.items()
    ]
    gains = [
        {"task": task, "model": model.removesuffix(known).rstrip(", "), "examples": size}
        | gain(group, groups[task, model.replace(known, other), size])
        for (task, model, size), group in groups.items()
        if model.endswith(known)
    ]
    return {"points": points, "gains": gains}


def gain(tuned: list[dict[str, Any]], scratch: list[dict[str, Any]]) -> dict[str, Any]:
    """Points that fine-tuning is above scratch, draw by draw."""
    both = zip(tuned, scratch, strict=True)
    points = [100 * (one["test_accuracy"] - other["test_accuracy"]) for one, other in both]
    deviation = statistics.stdev(points) if len(points) > 1 else 0.0
    return {"points": points, "mean": statistics.fmean(points), "sd": deviation}


def verdict(results: dict[str, Any]) -> str:
    """The rule, applied."""
    judged = [g for g in results["gains"] if g["examples"] in JUDGED]
    if not judged:
        return "silent: no size of the rule was measured"
    shown = ", ".join(f"{g['mean']:+.0f} at {g['examples']} {g['task']}" for g in judged)
    clear = all(g["mean"] >= 10 and g["mean"] > 2 * g["sd"] for g in judged)
    small = [g["mean"] < 5 for g in judged if g["examples"] == JUDGED[-1]]
    word = "yes" if clear else "no" if small and all(small) else "silent"
    return f"{word}: points above scratch {shown}"
