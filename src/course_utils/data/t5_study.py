"""The ablations of T5 as a table: one row a model, as printed in Raffel et al. 2020.

Validation scores of the baseline (220M parameters, 2^35 tokens) with one thing changed, fine-tuned
on every task: averages of GLUE and SuperGLUE (SGLUE), ROUGE-2 on CNN/Daily Mail, exact match on
SQuAD, BLEU on three WMT pairs. Copied by hand: only what the paper says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame, Series

METRICS = ("GLUE", "CNNDM", "SQuAD", "SGLUE", "EnDe", "EnFr", "EnRo")
# Standard deviation over ten runs of the baseline (table 1); no other row was run more than once.
DEVIATION = (0.235, 0.065, 0.343, 0.416, 0.112, 0.090, 0.108)

# number of the table | what was asked | section; below it the answers, * marks the baseline
STUDY = """
1 | pre-training | 3.1.3
* baseline                              83.28 19.24 80.88 71.36 26.98 39.82 27.65
no pre-training                         66.22 17.60 50.31 53.04 25.86 39.77 24.04
2 | architecture and objective | 3.2.4
* encoder-decoder, denoising            83.28 19.24 80.88 71.36 26.98 39.82 27.65
encoder-decoder, shared, denoising      82.81 18.78 80.63 70.73 26.72 39.03 27.46
encoder-decoder, 6 layers, denoising    80.88 18.97 77.59 68.42 26.38 38.40 26.95
causal decoder, denoising               74.70 17.93 61.14 55.02 25.09 35.28 25.86
prefix LM, denoising                    81.82 18.61 78.94 68.11 26.43 37.98 27.39
encoder-decoder, language modeling      79.56 18.59 76.02 64.29 26.27 39.17 26.86
encoder-decoder, shared, language modeling 79.60 18.13 76.35 63.50 26.62 39.17 27.05
encoder-decoder, 6 layers, language modeling 78.67 18.26 75.32 64.06 26.13 38.42 26.89
causal decoder, language modeling       73.78 17.54 53.81 56.51 25.23 34.31 25.38
prefix LM, language modeling            79.68 17.84 76.87 64.86 26.28 37.51 26.76
4 | family of objectives | 3.3.1
prefix language modeling                80.69 18.94 77.99 65.27 26.86 39.73 27.49
BERT-style                              82.96 19.17 80.65 69.85 26.78 40.03 27.41
deshuffling                             73.17 18.59 67.61 58.47 26.11 39.30 25.62
5 | what stands for the hidden tokens | 3.3.2
BERT-style                              82.96 19.17 80.65 69.85 26.78 40.03 27.41
MASS-style                              82.32 19.16 80.10 69.28 26.79 39.89 27.55
* replace corrupted spans               83.28 19.24 80.88 71.36 26.98 39.82 27.65
drop corrupted tokens                   84.44 19.31 80.52 68.67 27.07 39.76 27.82
6 | corruption rate | 3.3.3
10%                                     82.82 19.00 80.38 69.55 26.87 39.28 27.44
* 15%                                   83.28 19.24 80.88 71.36 26.98 39.82 27.65
25%                                     83.00 19.54 80.96 70.48 27.04 39.83 27.47
50%                                     81.27 19.32 79.80 70.33 27.01 39.90 27.49
7 | mean span length | 3.3.4
* independent tokens                    83.28 19.24 80.88 71.36 26.98 39.82 27.65
2                                       83.54 19.39 82.09 72.20 26.76 39.99 27.63
3                                       83.49 19.62 81.84 72.53 26.86 39.65 27.62
5                                       83.40 19.24 82.05 72.23 26.88 39.40 27.53
10                                      82.85 19.33 81.84 70.44 26.79 39.49 27.69
8 | pre-training text | 3.4.1
* C4                                    83.28 19.24 80.88 71.36 26.98 39.82 27.65
C4, unfiltered                          81.46 19.14 78.78 68.04 26.55 39.34 27.21
RealNews-like                           83.83 19.23 80.39 72.38 26.75 39.90 27.48
WebText-like                            84.03 19.31 81.42 71.40 26.80 39.74 27.59
Wikipedia                               81.85 19.31 81.29 68.01 26.94 39.69 27.67
Wikipedia + Toronto Books               83.65 19.28 82.08 73.24 26.77 39.63 27.57
9 | repeated text | 3.4.2
* full data set, no repeats             83.28 19.24 80.88 71.36 26.98 39.82 27.65
2^29 tokens, 64 repeats                 82.87 19.19 80.97 72.03 26.83 39.74 27.63
2^27 tokens, 256 repeats                82.62 19.20 79.78 69.97 27.02 39.71 27.33
2^25 tokens, 1,024 repeats              79.55 18.57 76.27 64.76 26.38 39.56 26.80
2^23 tokens, 4,096 repeats              76.34 18.33 70.92 59.29 26.37 38.84 25.81
13 | four times the compute | 3.6
* as the baseline                       83.28 19.24 80.88 71.36 26.98 39.82 27.65
same size, 4 times the steps            85.33 19.33 82.45 74.72 27.08 40.66 27.93
same size, 4 times the batch            84.60 19.42 82.52 74.64 27.07 40.60 27.84
2 times the size, 2 times the steps     86.18 19.66 84.18 77.18 27.52 41.03 28.19
4 times the size, same steps            85.91 19.73 83.86 78.04 27.47 40.71 28.10
4 models, pre-trained and fine-tuned    84.77 20.10 83.09 71.74 28.05 40.53 28.57
4 models, fine-tuned only               84.05 19.57 82.36 71.55 27.55 40.22 28.09
"""


def load_study() -> DataFrame:
    """Return the study: table, question, section, variant, baseline (bool), then `METRICS`."""
    import pandas as pd

    rows: list[tuple] = []
    heading: tuple = ()
    for line in STUDY.strip().splitlines():
        if "|" in line:
            number, question, section = (part.strip() for part in line.split("|"))
            heading = (int(number), question, section)
        else:
            name, *scores = line.removeprefix("* ").rsplit(maxsplit=len(METRICS))
            rows.append((*heading, name.strip(), line.startswith("*"), *map(float, scores)))
    return pd.DataFrame(rows, columns=["table", "question", "section", "variant", "baseline",
                                       *METRICS])  # fmt: skip


def deviation() -> Series:
    """Return the standard deviation of each metric over ten runs of the baseline."""
    import pandas as pd

    return pd.Series(DEVIATION, index=METRICS)
