"""Answers to P1, and what the grader must say to each."""

from course_tools.grading.references import p1 as mistakes
from course_tools.grading.selftest import right, wrong
from course_utils.grading.items import p1

TOP = """import torch
def top_guesses(model, tokenizer, text, k):
    model.eval()
    inputs = tokenizer(text, return_tensors="pt")
    place = inputs["input_ids"][0].tolist().index(tokenizer.mask_token_id)
    with torch.no_grad():
        logits = model(inputs["input_ids"], inputs["attention_mask"]).logits[0]
    best = logits[place].topk(k)
    p = logits[place].softmax(-1)[best.indices]
    names = tokenizer.convert_ids_to_tokens(best.indices.tolist())
    """
QUALITY = """import numpy as np
def quality(probabilities, answers, k):
    rows = np.arange(len(answers))
    p = probabilities[rows, answers]
    share = (np.argsort(-probabilities, 1)[:, :k] == answers[:, None]).any(1).mean()
    """

BANK = [
    wrong(
        "without [CLS]",
        """def find_mask(tokenizer, text):
    return tokenizer.tokenize(text).index(tokenizer.mask_token)""",
        {"P1.1": mistakes.NO_CLS},
    ),
    wrong(
        "words",
        """def find_mask(tokenizer, text):
    return next(i for i, w in enumerate(text.split()) if "[MASK]" in w) + 1""",
        {"P1.1": mistakes.WORDS},
    ),
    wrong(
        "the last token",
        "def find_mask(tokenizer, text): return len(tokenizer(text)['input_ids']) - 2",
        {"P1.1": mistakes.FROM_END},
    ),
    wrong(
        "a mask of booleans",
        """def find_mask(tokenizer, text):
    import numpy as np
    return np.array(tokenizer(text)["input_ids"]) == tokenizer.mask_token_id""",
        {"P1.1": "is not made of numbers"},
    ),
    wrong(
        "logits", TOP + "return list(zip(names, best.values.tolist()))", {"P1.2": mistakes.LOGITS}
    ),
    wrong("logarithms", TOP + "return list(zip(names, p.log().tolist()))", {"P1.2": mistakes.LOGS}),
    wrong(
        "softmax of the best",
        TOP + "return list(zip(names, best.values.softmax(-1).tolist()))",
        {"P1.2": mistakes.FEW},
    ),
    wrong(
        "sigmoid",
        TOP + "return list(zip(names, best.values.sigmoid().tolist()))",
        {"P1.2": mistakes.SIGMOID},
    ),
    wrong(
        "the state of [CLS]",
        (TOP + "return list(zip(names, p.tolist()))").replace("[place]", "[0]"),
        {"P1.2": mistakes.AT_CLS},
    ),
    wrong(
        "beside the mask",
        (TOP + "return list(zip(names, p.tolist()))").replace("[place]", "[place - 1]"),
        {"P1.2": mistakes.BESIDE},
    ),
    wrong(
        "dropout left on",
        (TOP + "return list(zip(names, p.tolist()))").replace("model.eval()", "model.train()"),
        {"P1.2": p1.DROPOUT},
    ),
    wrong("worst first", TOP + "return list(zip(names, p.tolist()))[::-1]", {"P1.2": p1.WORST}),
    wrong("names only", TOP + "return names", {"P1.2": p1.PAIRS}),
    wrong("nats", QUALITY + "return share, -np.log(p).mean()", {"P1.3": mistakes.NATS}),
    wrong(
        "the first guess only",
        QUALITY + "return (probabilities.argmax(1) == answers).mean(), -np.log2(p).mean()",
        {"P1.3": mistakes.TOP_ONE},
    ),
    wrong(
        "mean first", QUALITY + "return share, -np.log2(p.mean())", {"P1.3": mistakes.MEAN_FIRST}
    ),
    wrong("sign", QUALITY + "return share, np.log2(p).mean()", {"P1.3": mistakes.NEGATIVE}),
    wrong("sums", QUALITY + "return share, -np.log2(p).sum()", {"P1.3": mistakes.SUMMED}),
    wrong("percent", QUALITY + "return 100 * share, -np.log2(p).mean()", {"P1.3": p1.RANGE}),
    wrong("four sentences", "my_sentences = my_sentences[:4]", {"P1.4": p1.FIVE}),
    wrong(
        "two masks",
        "my_sentences = ['The [MASK] and the [MASK] are far away.'] + my_sentences[1:]",
        {"P1.4": p1.ONE_MASK},
    ),
    wrong(
        "the sentence of the exercise",
        f"my_sentences = [{p1.DEMO!r}] + my_sentences[1:]",
        {"P1.4": p1.GIVEN},
    ),
    wrong(
        "made-up numbers",
        "my_predictions = [[[w, 0.2] for w in 'a b c d e'.split()] for _ in range(5)]",
        {"P1.4": p1.OTHERS},
    ),
    wrong("other sentences", "my_sentences = my_sentences[::-1]", {"P1.4": p1.OTHERS}),
    wrong(
        "a piece left out",
        "my_predictions = [[*my_predictions[0][1:], ['banana', 0.0]], *my_predictions[1:]]",
        {"P1.4": p1.MISSED},
    ),
    right(
        "tensors",
        """import torch
def find_mask(tokenizer, text):
    ids = tokenizer(text, return_tensors="pt")["input_ids"][0]
    return (ids == tokenizer.mask_token_id).nonzero()[0]
def quality(probabilities, answers, k):
    p, y = torch.as_tensor(probabilities), torch.as_tensor(answers)
    hit = (p.topk(k, dim=-1).indices == y[:, None]).any(-1).double().mean()
    return torch.stack([hit, -p.gather(1, y[:, None]).log2().mean()])""",
    ),
    right(
        "loops",
        """import math, torch
def top_guesses(model, tokenizer, text, k):
    model.eval()
    inputs = tokenizer([text], return_tensors="pt")
    logits = model(**{n: inputs[n] for n in ("input_ids", "attention_mask")}).logits
    row = logits[0, find_mask(tokenizer, text)].tolist()
    total = sum(math.exp(z) for z in row)
    order = sorted(range(len(row)), key=lambda i: row[i], reverse=True)[:k]
    return [(tokenizer.decode([i]), math.exp(row[i]) / total) for i in order]
def quality(probabilities, answers, k):
    found = [int(sum(q > row[y] for q in row) < k) for row, y in zip(probabilities, answers)]
    bits = [math.log2(1 / row[y]) for row, y in zip(probabilities, answers)]
    return [sum(found) / len(found), sum(bits) / len(bits)]""",
    ),
    right("sorted", TOP + "return [[n, float(q)] for n, q in zip(names, p)]"),
    right(
        "in another order",
        """order = [3, 1, 4, 0, 2]
my_sentences = [my_sentences[i] for i in order]
my_predictions = [[list(pair) for pair in my_predictions[i]] for i in order]""",
    ),
    wrong(
        "the least likely",
        QUALITY.replace("-probabilities", "probabilities") + "return share, -np.log2(p).mean()",
        {"P1.3": mistakes.LEAST},
    ),
]
