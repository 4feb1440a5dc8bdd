"""What the loopback hub serves: tiny models and data sets with the names and layouts of real ones.

Widths and vocabularies are tiny; architectures, layers, types of weights, names of files, columns
and configurations are not.
"""

from __future__ import annotations

import gzip
import io
import json
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from hub_server import Files

MODELS = {  # class and number of layers that were served
    "minilm": ("BertModel", 6),
    "bert-base-uncased": ("BertForMaskedLM", 12),
    "bert-large-uncased": ("BertForMaskedLM", 24),
    "smollm2": ("LlamaForCausalLM", 30),
    "gpt2": ("GPT2LMHeadModel", 12),
    "t5-small": ("T5ForConditionalGeneration", 6),
    "t5-base": ("T5ForConditionalGeneration", 12),
}
TEXTS = (
    "the bank of the river was steep and the water was cold",
    "a senator asked the bank for a loan of four hundred dollars",
    "people of the united states elect a president every four years",
)


def files_of(folder: Path) -> Files:
    """Return what lies in a folder, by path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder).as_posix()): path.read_bytes() for path in paths}


def saved(*parts: Any) -> Files:
    """Return the files that models and tokenizers write."""
    with tempfile.TemporaryDirectory() as folder:
        for part in parts:
            part.save_pretrained(folder)
        return files_of(Path(folder))


# -- tokenizers ------------------------------------------------------------------------------


def word_pieces(vocabulary: str = "") -> Any:
    """Return BERT's tokenizer over a vocabulary, or over the words and letters of TEXTS."""
    from transformers import BertTokenizerFast

    letters = sorted(set("".join(TEXTS)) - {" "})
    words = sorted({word for text in TEXTS for word in text.split()} - set(letters))
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocab = [*special, *letters, *("##" + c for c in letters), *words]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "vocab.txt").write_text(vocabulary or "\n".join(vocab) + "\n")
        return BertTokenizerFast(str(Path(folder) / "vocab.txt"))


def byte_pairs(**special: str) -> Any:
    """Return a byte-level BPE as GPT-2 has it, with the special tokens given."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=alphabet, special_tokens=sorted(set(special.values())),
        show_progress=False,
    )  # fmt: skip
    words = ["a negative and a positive film"] * 20  # labels, which few-shot tells by a first piece
    tokenizer.train_from_iterator([*TEXTS, *words], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def gpt2_files() -> Files:
    """Return GPT-2's vocab.json and merges.txt beside its tokenizer.json."""
    tokenizer = byte_pairs(eos_token="<|endoftext|>")
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.backend_tokenizer.model.save(folder)
        return {**saved(tokenizer), **files_of(Path(folder))}


def unigrams() -> Any:
    """Return T5's tokenizer: pieces with scores, and a hundred sentinels."""
    from transformers import T5Tokenizer

    words = sorted({"\N{LOWER ONE EIGHTH BLOCK}" + w for text in TEXTS for w in text.split()})
    letters = [*sorted(set("".join(TEXTS)) - {" "}), "\N{LOWER ONE EIGHTH BLOCK}"]
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    return T5Tokenizer(vocab=[*special, *((w, -3.0) for w in words), *((c, -8.0) for c in letters)])


# -- models ----------------------------------------------------------------------------------


def bert(layers: int, width: int, head: bool = True, vocabulary: str = "") -> Files:
    """Return a BERT of these sizes, with its masked-language-model head or without."""
    from transformers import BertConfig, BertForMaskedLM, BertModel

    tokenizer = word_pieces(vocabulary)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=width, num_hidden_layers=layers,
        num_attention_heads=2, intermediate_size=4 * width, max_position_embeddings=512,
    )  # fmt: skip
    pieces = sorted(tokenizer.get_vocab().items(), key=lambda piece: piece[1])
    files = saved((BertForMaskedLM if head else BertModel)(config), tokenizer)
    return {**files, "vocab.txt": "".join(f"{piece}\n" for piece, _ in pieces).encode()}


def gpt2() -> Files:
    """Return a GPT-2 of twelve layers."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=300,
        n_positions=1024,
        n_embd=8,
        n_layer=12,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
    )
    return {**saved(GPT2LMHeadModel(config)), **gpt2_files()}


def llama() -> Files:
    """Return a LLaMA of thirty layers in bfloat16, as SmolLM2 is."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=300, hidden_size=8, intermediate_size=16, num_hidden_layers=30,
        num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=True,
    )  # fmt: skip
    tokenizer = byte_pairs(bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>")
    return saved(LlamaForCausalLM(config).bfloat16(), tokenizer)


def t5(layers: int, width: int) -> Files:
    """Return a T5 of these sizes."""
    from transformers import T5Config, T5ForConditionalGeneration

    tokenizer = unigrams()
    config = T5Config(
        vocab_size=len(tokenizer), d_model=width, d_kv=4, d_ff=16, num_layers=layers, num_heads=2,
        decoder_start_token_id=0,
    )  # fmt: skip
    return saved(T5ForConditionalGeneration(config), tokenizer)


# -- data sets -------------------------------------------------------------------------------


def parquet(rows: dict[str, list], **classes: list[str]) -> bytes:
    """Return a parquet file; `classes` are the names of the columns that hold class numbers."""
    import pyarrow.parquet
    from datasets import ClassLabel, Dataset, Features, Value

    kinds = {int: Value("int64"), str: Value("string")}
    features = {
        name: ClassLabel(names=classes[name]) if name in classes else kinds[type(column[0])]
        for name, column in rows.items()
    }
    file = io.BytesIO()
    data = Dataset.from_dict(rows, features=Features(features)).data.table
    pyarrow.parquet.write_table(data, file)
    return file.getvalue()


def card(configs: dict[str, dict[str, str]]) -> bytes:
    """Return a README whose head names configurations, splits and paths, as the hub's do."""
    lines = ["---", "configs:"]
    for name, splits in configs.items():
        lines += [f"- config_name: {name}", "  data_files:"]
        for split, path in splits.items():
            lines += [f"  - split: {split}", f"    path: {path}"]
    return "\n".join([*lines, "---", "# A data set", ""]).encode()


def labelled(count: int, column: str = "text", salt: str = "", hidden: bool = False) -> dict:
    """Return rows of a text and a label 0 or 1; `hidden` labels are -1, as in GLUE's tests."""
    texts = [f"{TEXTS[i % 3]} {salt}{i}" for i in range(count)]
    return {column: texts, "label": [-1 if hidden else i % 2 for i in range(count)]}


SHARD = "{}-00000-of-00001.parquet"
GLUE = {
    "sst2": ("sentence", ["negative", "positive"]),
    "cola": ("sentence", ["unacceptable", "acceptable"]),
    "mrpc": ("sentence1", ["not_equivalent", "equivalent"]),
}


def glue(times: int = 1) -> Files:
    """Return three of GLUE's tasks; the labels of the tests are hidden, but not those of MRPC."""
    files, configs = {}, {}
    for task, (column, names) in GLUE.items():
        configs[task] = {s: f"{task}/{s}-*" for s in ("train", "validation", "test")}
        for split, count in (("train", 60), ("validation", 6), ("test", 6)):
            hidden = split == "test" and task != "mrpc"
            rows = labelled(count * times, column, f"{task} {split} ", hidden)
            if task == "mrpc":
                rows["sentence2"] = [text.upper() for text in rows["sentence1"]]
            rows["idx"] = list(range(count * times))
            files[f"{task}/{SHARD.format(split)}"] = parquet(rows, label=names)
    return {"README.md": card(configs), **files}


def reviews(folder: str, shard: str, config: str, splits: dict[str, int], times: int = 1) -> Files:
    """Return film reviews with labels, in the layout given."""
    paths = {split: folder + shard.format(split) for split in splits}
    files = {
        paths[split]: parquet(labelled(count * times, salt=split), label=["neg", "pos"])
        for split, count in splits.items()
    }
    return {"README.md": card({config: paths}), **files}


def trec(times: int = 1) -> Files:
    """Return questions as the hub's own conversion to parquet lays them out."""
    files = {}
    for split, count in (("train", 60), ("test", 6)):
        rows = labelled(count * times, salt=split)
        labels = [i % 6 for i in range(len(rows.pop("label")))]
        files[f"default/{split}/0000.parquet"] = parquet(
            {**rows, "coarse_label": labels, "fine_label": labels},
            coarse_label=["ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM"],
        )
    return files


def cnn_dailymail(times: int = 1) -> Files:
    """Return articles, highlights and ids."""
    files, version = {}, "3.0.0"
    for split in ("train", "validation", "test"):
        texts = labelled(6 * times, salt=split)["text"]
        rows = {
            "article": texts,
            "highlights": texts[::-1],
            "id": [str(i) for i in range(6 * times)],
        }
        files[f"{version}/{SHARD.format(split)}"] = parquet(rows)
    return {
        "README.md": card(
            {version: {s: f"{version}/{s}-*" for s in ("train", "validation", "test")}}
        ),
        **files,
    }


def wikitext() -> Files:
    """Return lines of two articles, one row a line."""
    name, lines = (
        "wikitext-103-raw-v1",
        ["", " = River = \n", "", f" {TEXTS[0]} \n", " = Loan = \n", f" {TEXTS[1]} \n"],
    )
    splits = ("test", "train", "validation")
    files = {f"{name}/{SHARD.format(s)}": parquet({"text": lines}) for s in splits}
    return {"README.md": card({name: {s: f"{name}/{s}-*" for s in splits}}), **files}


def babylm(times: int = 1) -> Files:
    """Return 501 lines, one row a line, so often: more than one passage."""
    name = f"data/{SHARD.format('train')}"
    lines = [TEXTS[number % len(TEXTS)] for number in range(501 * times)]
    return {
        "README.md": card({"default": {"train": "data/train-*"}}),
        name: parquet({"text": lines}),
    }


def c4() -> Files:
    """Return web pages as compressed lines of JSON."""
    rows = [
        {"text": t, "timestamp": "2019-04-25T12:57:54Z", "url": "https://example.org"}
        for t in TEXTS
    ]
    content = gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode(), mtime=0)
    names = {
        "train": "en/c4-train.00000-of-01024.json.gz",
        "validation": "en/c4-validation.00000-of-00008.json.gz",
    }
    return {"README.md": card({"en": names}), **dict.fromkeys(names.values(), content)}


@lru_cache(maxsize=1)
def everything(times: int = 1, vocabulary: str = "") -> dict[str, Files]:
    """Return all repositories of the sources table, by name.

    `times`: so many more rows; `vocabulary`: BERT's real one, for what mixes models by its pieces.
    """
    return {
        "models/google-bert/bert-base-uncased": bert(12, 8, vocabulary=vocabulary),
        "models/google-bert/bert-large-uncased": bert(24, 12, vocabulary=vocabulary),
        "models/sentence-transformers/all-MiniLM-L6-v2": bert(
            6, 12, head=False, vocabulary=vocabulary),
        "models/HuggingFaceTB/SmolLM2-135M-Instruct": llama(),
        "models/openai-community/gpt2": gpt2(),
        "models/google-t5/t5-small": t5(layers=6, width=8),
        "models/google-t5/t5-base": t5(layers=12, width=8),
        "datasets/cornell-movie-review-data/rotten_tomatoes": reviews(
            "", "{}.parquet", "default", {"train": 60, "validation": 6, "test": 6}, times),
        "datasets/stanfordnlp/imdb": reviews(
            "plain_text/", SHARD, "plain_text", {"train": 60, "test": 6, "unsupervised": 6}, times),
        "datasets/nyu-mll/glue": glue(times),
        "datasets/CogComp/trec": trec(times),
        "datasets/abisee/cnn_dailymail": cnn_dailymail(times),
        "datasets/Salesforce/wikitext": wikitext(),
        "datasets/allenai/c4": c4(),
        "datasets/BabyLM-community/BabyLM-2026-Strict-Small": babylm(times),
    }  # fmt: skip
