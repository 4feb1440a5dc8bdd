"""BERT, GPT and T5 from one set of parts."""

from .bert import Bert, BertConfig
from .gpt import Gpt, GptConfig
from .t5 import T5, T5Config

__all__ = ["T5", "Bert", "BertConfig", "Gpt", "GptConfig", "T5Config"]
