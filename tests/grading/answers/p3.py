"""Answers to P3, and what the grader must say to each."""

from course_tools.grading.references import p3 as mistakes
from course_tools.grading.selftest import right, wrong
from course_utils.grading.item import IN_PLACE, NO_GRADIENT, SHARED
from course_utils.grading.items import p3
from course_utils.grading.recorded import OTHER_RUN

EXAMPLE = """
def training_example(prompt_ids, answer_ids, end_id, max_length):
    answer = list(answer_ids) + [end_id]
    room = max_length - len(answer)
    prompt = {cut}
    ids = {ids}
    return ids, {labels}
"""
GOOD = {
    "cut": "list(prompt_ids)[-room:]",
    "ids": "prompt + answer",
    "labels": "[-100] * len(prompt) + answer",
}
COLLATE = """
def collate_answers(examples, pad_id):
    width = max(len(i) for i, _ in examples)
    pad = lambda rows, v: torch.tensor([{row} for r in rows])
    ids = pad([i for i, _ in examples], pad_id)
    labels = pad([y for _, y in examples], {label})
    mask = {mask}
    return {{"input_ids": ids, "attention_mask": mask, "labels": {labels}}}
"""
BATCH = {
    "row": "r + [v] * (width - len(r))",
    "label": "-100",
    "mask": "pad([[1] * len(i) for i, _ in examples], 0)",
    "labels": "labels",
}
LOSS = """
def answer_loss(logits, labels):
    from torch.nn.functional import cross_entropy
    z, y = {shift}
    return {result}
"""
NATS = {"shift": "logits[:, :-1], labels[:, 1:]", "result": "{mean}"}
MEAN = "cross_entropy(z.flatten(0, 1), y.flatten())"
TOTAL = "cross_entropy(z.flatten(0, 1), y.flatten(), reduction='sum')"
SCORES = """
def answer_scores(model, prompt_ids, answers):
    {mode}
    found, n = [], len(prompt_ids)
    for answer in answers:
        ids = torch.tensor([prompt_ids + answer])
        with torch.no_grad():
            logs = {logs}
        found.append({score})
    return found
"""
EACH = {
    "mode": "model.eval()",
    "logs": "model(input_ids=ids).logits[0].log_softmax(-1)",
    "score": "sum(float(logs[n - 1 + k, a]) for k, a in enumerate(answer))",
}
PREDICT = """
def predict_labels(model, prompts, label_ids, pad_id):
    {mode}
    width = max(map(len, prompts))
    ids = torch.tensor([p + [pad_id] * (width - len(p)) for p in prompts])
    mask = torch.tensor([[1] * len(p) + [0] * (width - len(p)) for p in prompts])
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=mask).logits
    last = {last}
    return {result}
"""
LABELS = {
    "mode": "model.eval()",
    "last": "logits[torch.arange(len(prompts)), mask.sum(1) - 1]",
    "result": "last[:, label_ids].argmax(1).tolist()",
}
PROMPT = "def as_prompt(text): return "
RECORD = "recorded_P3 = dict(recorded_P3, **{"


def made(template, good, **change):
    """A part with something changed."""
    return template.format(**good | change)


def loss(result=MEAN, shift=NATS["shift"]):
    """P3.4 with something changed."""
    return LOSS.format(shift=shift, result=result)


BANK = [
    wrong("text left out", PROMPT + "'A film review. Sentiment:'", {"P3.1": p3.LOST_TEXT}),
    wrong("nothing asked", PROMPT + "'Review: ' + text", {"P3.1": p3.NO_CUE}),
    wrong("space at the end", PROMPT + "text + '\\nSentiment: '", {"P3.1": p3.SPACE}),
    wrong("words without space", "LABEL_WORDS = ['bad', 'good']", {"P3.1": p3.NO_SPACE}),
    wrong("no room", made(EXAMPLE, GOOD), {"P3.2": mistakes.NO_ROOM}),
    wrong(
        "softmax twice",
        loss("cross_entropy(z.softmax(-1).flatten(0, 1), y.flatten())"),
        {"P3.4": mistakes.SOFTMAX},
    ),
    wrong(
        "sum of probabilities",
        made(SCORES, EACH, logs=EACH["logs"] + ".exp()"),
        {"P3.5": mistakes.PROBABILITY},
    ),
    wrong(
        "padded on the left",
        """def predict_labels(model, prompts, label_ids, pad_id):
    width = max(map(len, prompts))
    ids = torch.tensor([[pad_id] * (width - len(p)) + p for p in prompts])
    with torch.no_grad():
        return model.eval()(input_ids=ids).logits[:, -1, label_ids].argmax(1)""",
        {"P3.6": mistakes.LEFT_PADDING},
    ),
    wrong("words reversed", "LABEL_WORDS = [' good', ' bad']", {"P3.1": p3.REVERSED}),
    right(
        "words of one's own",
        "LABEL_WORDS = [' thumbs down', ' delightful']\n" + RECORD + "'untrained scores': "
        "[[-22.402, -10.643], [-23.735, -11.948], [-22.807, -11.364]]})",
    ),
    wrong("one word", "LABEL_WORDS = [' good']", {"P3.1": p3.TWO_WORDS}),
    wrong("same beginning", "LABEL_WORDS = [' good', ' good enough']", {"P3.1": p3.SAME_WORD}),
    wrong(
        "loss over the prompt",
        made(EXAMPLE, GOOD, labels="list(ids)"),
        {"P3.2": mistakes.PROMPT_LOSS},
    ),
    wrong(
        "shifted in the data",
        made(EXAMPLE, GOOD, labels="([-100] * len(prompt) + answer)[1:] + [-100]"),
        {"P3.2": mistakes.SHIFTED},
    ),
    wrong(
        "no end",
        made(
            EXAMPLE,
            GOOD,
            ids="prompt + answer[:-1]",
            labels="[-100] * len(prompt) + answer[:-1]",
        ),
        {"P3.2": mistakes.NO_END},
    ),
    wrong(
        "the answer is cut",
        made(
            EXAMPLE,
            GOOD,
            cut="list(prompt_ids)",
            ids="(prompt + answer)[:max_length]",
            labels="([-100] * len(prompt) + answer)[:max_length]",
        ),
        {"P3.2": mistakes.CUT_ANSWER},
    ),
    wrong(
        "the cue is cut",
        made(EXAMPLE, GOOD, cut="list(prompt_ids)[:room]"),
        {"P3.2": mistakes.CUT_CUE},
    ),
    wrong("never cut", made(EXAMPLE, GOOD, cut="list(prompt_ids)"), {"P3.2": mistakes.TOO_LONG}),
    wrong(
        "the end unlabelled",
        made(EXAMPLE, GOOD, labels="[-100] * len(prompt) + answer[:-1] + [-100]"),
        {"P3.2": mistakes.END_UNSEEN},
    ),
    wrong("labels of the answer only", made(EXAMPLE, GOOD, labels="answer"), {"P3.2": p3.AS_MANY}),
    wrong("padding predicted", made(COLLATE, BATCH, label="pad_id"), {"P3.3": mistakes.PAD_LABELS}),
    wrong("labels padded by 0", made(COLLATE, BATCH, label="0"), {"P3.3": mistakes.PAD_LABELS}),
    wrong(
        "pad is end: the end is not read",
        made(COLLATE, BATCH, mask="(ids != pad_id).long()"),
        {"P3.3": mistakes.END_HIDDEN},
    ),
    wrong(
        "pad is end: the end is not predicted",
        made(COLLATE, BATCH, labels="labels.masked_fill(ids == pad_id, -100)"),
        {"P3.3": mistakes.END_HIDDEN},
    ),
    wrong("all read", made(COLLATE, BATCH, mask="torch.ones_like(ids)"), {"P3.3": mistakes.SEEN}),
    wrong(  # with a part 6 of its own: the reference's reads batches of part 3
        "on the left",
        made(COLLATE, BATCH, row="[v] * (width - len(r)) + r") + made(PREDICT, LABELS),
        {"P3.3": mistakes.LEFT},
    ),
    wrong(
        "labels are the ids",
        made(COLLATE, BATCH, labels="ids.masked_fill(mask == 0, -100)"),
        {"P3.3": mistakes.PROMPT_LOSS},
    ),
    wrong("no shift", loss(shift="logits, labels"), {"P3.4": mistakes.NO_SHIFT}),
    wrong("shifted back", loss(shift="logits[:, 1:], labels[:, :-1]"), {"P3.4": mistakes.BACK}),
    wrong("a sum", loss(TOTAL), {"P3.4": mistakes.SUM}),
    wrong("over all positions", loss(TOTAL + " / y.numel()"), {"P3.4": mistakes.ALL}),
    wrong(
        "mean of means",
        loss("torch.stack([cross_entropy(a, b) for a, b in zip(z, y)]).mean()"),
        {"P3.4": mistakes.ROWS},
    ),
    wrong(
        "one late",
        made(SCORES, EACH, score="sum(float(logs[n + k, a]) for k, a in enumerate(answer))"),
        {"P3.5": mistakes.LATE},
    ),
    wrong(
        "a mean",
        made(
            SCORES,
            EACH,
            score="sum(float(logs[n - 1 + k, a]) for k, a in enumerate(answer)) / len(answer)",
        ),
        {"P3.5": mistakes.PER_PIECE},
    ),
    wrong(
        "first piece",
        made(SCORES, EACH, score="float(logs[n - 1, answer[0]])"),
        {"P3.5": mistakes.FIRST},
    ),
    wrong(
        "logits",
        made(SCORES, EACH, logs="model(input_ids=ids).logits[0]"),
        {"P3.5": mistakes.LOGITS},
    ),
    wrong(
        "with the prompt",
        made(SCORES, EACH, score="float(logs[:-1].gather(1, ids[0, 1:, None]).sum())"),
        {"P3.5": mistakes.WHOLE},
    ),
    wrong("dropout", made(SCORES, EACH, mode="pass"), {"P3.5": p3.DROPOUT}),
    wrong(
        "the last position",
        made(PREDICT, LABELS, last="logits[:, -1]"),
        {"P3.6": mistakes.END_PADDING},
    ),
    wrong(
        "the likeliest piece",
        made(PREDICT, LABELS, result="last.argmax(1)"),
        {"P3.6": mistakes.ANY},
    ),
    wrong(
        "ids",
        made(PREDICT, LABELS, result="torch.tensor(label_ids)[last[:, label_ids].argmax(1)]"),
        {"P3.6": mistakes.IDS},
    ),
    wrong(
        "the least likely",
        made(PREDICT, LABELS, result="last[:, label_ids].argmin(1)"),
        {"P3.6": mistakes.UPSIDE_DOWN},
    ),
    wrong("dropout in prediction", made(PREDICT, LABELS, mode="pass"), {"P3.6": p3.DROPOUT}),
    wrong("percent", RECORD + "'head accuracy': 61.0})", {"P3.7": "percentage"}),
    wrong("no time", RECORD + "'head seconds': 0})", {"P3.7": p3.SLOW}),
    wrong("upside down", RECORD + "'head accuracy': 0.2})", {"P3.7": p3.FLIPPED}),
    wrong("incomplete", "recorded_P3.pop('majority')", {"P3.7": "lacks 'majority'"}),
    wrong("no text", "answer_P3 = '...'", {"P3.8": "empty"}),
    right(
        "another prompt, one label a time, lists",
        """LABEL_WORDS = (" terrible", " great")
def as_prompt(text):
    return f'{text} All in all, the film was'
def training_example(prompt_ids, answer_ids, end_id, max_length):
    ids = [*prompt_ids, *answer_ids, end_id]
    while len(ids) > max_length:
        ids = ids[1:]
    known = len(ids) - len(answer_ids) - 1
    return torch.tensor([ids, [-100] * known + ids[known:]])
def collate_answers(examples, pad_id):
    from torch.nn.utils.rnn import pad_sequence
    def pad(rows, value):
        return pad_sequence([torch.as_tensor(r) for r in rows], True, value)
    ids, labels = zip(*examples)
    mask = pad([[1] * len(i) for i in ids], 0).bool()
    return dict(labels=pad(labels, -100), input_ids=pad(ids, pad_id), attention_mask=mask)
def predict_labels(model, prompts, label_ids, pad_id):
    model.eval()
    found = []
    for prompt in prompts:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt])).logits[0, -1]
        found.append(max(range(len(label_ids)), key=lambda k: float(logits[label_ids[k]])))
    return found
"""
        + RECORD
        + "'untrained scores': [[-7.84, -6.866], [-7.418, -6.92], [-7.935, -6.689]]})",
    ),
    right(
        "loss by hand, scores in one batch",
        """def answer_loss(logits, labels):
    total, count = 0.0, 0
    for row, goal in zip(logits.log_softmax(-1), labels.tolist()):
        for t in range(1, len(goal)):
            if goal[t] != -100:
                total, count = total - row[t - 1, goal[t]], count + 1
    return total / count
def answer_scores(model, prompt_ids, answers):
    model.eval()
    width = max(map(len, answers))
    rows = torch.tensor([prompt_ids + a + [0] * (width - len(a)) for a in answers])
    with torch.inference_mode():
        logs = torch.log_softmax(model(input_ids=rows).logits.double(), -1)
    n = len(prompt_ids)
    steps = logs[:, n - 1 : -1].gather(2, rows[:, n:, None])[..., 0]
    real = torch.tensor([[k < len(a) for k in range(width)] for a in answers])
    return (steps * real).sum(1)""",
    ),
    right(
        "the library's own loss, by one",
        """def answer_loss(logits, labels):
    labels = torch.cat([labels[:, 1:], torch.full_like(labels[:, :1], -100)], 1)
    return torch.nn.CrossEntropyLoss(ignore_index=-100)(logits.transpose(1, 2), labels)
def answer_scores(model, prompt_ids, answers):
    model.eval()
    found = []
    for answer in answers:
        ids, total = list(prompt_ids), 0.0
        for piece in answer:
            with torch.no_grad():
                total += model(torch.tensor([ids])).logits[0, -1].softmax(-1)[piece].log().item()
            ids.append(piece)
        found.append(total)
    return found
def predict_labels(model, prompts, label_ids, pad_id):
    model.eval()
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), pad_id)
    for row, prompt in zip(ids, prompts):
        row[: len(prompt)] = torch.tensor(prompt)
    with torch.no_grad():
        probability = model(input_ids=ids).logits.softmax(-1)
    last = torch.tensor([len(p) - 1 for p in prompts])
    return probability[torch.arange(len(ids)), last][:, label_ids].argmax(-1)""",
    ),
    wrong(
        "the answer grows",
        """right_one = training_example
def training_example(prompt_ids, answer_ids, end_id, max_length):
    result = right_one(list(prompt_ids), list(answer_ids), end_id, max_length)
    answer_ids.append(end_id)
    return result""",
        {"P3.2": IN_PLACE},
    ),
    wrong(
        "no gradient",
        loss(MEAN + ".detach()"),
        {"P3.4": NO_GRADIENT},
    ),
    wrong(
        "numbered from 1",
        made(PREDICT, LABELS, result="last[:, label_ids].argmax(1) + 1"),
        {"P3.6": p3.NUMBERS},
    ),
    right(
        "padded to a multiple of eight",
        made(COLLATE, BATCH).replace(
            "for i, _ in examples)\n", "for i, _ in examples) + 7 & -8\n", 1
        ),
    ),
    wrong("an invented accuracy", RECORD + "'generation accuracy': 0.66})", {"P3.7": OTHER_RUN}),
    wrong(
        "invented scores",
        RECORD + "'untrained scores': [[-9.1, -8.7], [-9.4, -8.2], [-8.9, -9.3]]})",
        {"P3.7": p3.ANOTHER},
    ),
    wrong(
        "one list for all examples",
        """kept = [[], []]
def training_example(prompt, answer, end, room):
    prompt = prompt[max(0, len(prompt) + len(answer) + 1 - room):]
    kept[0][:] = [*prompt, *answer, end]
    kept[1][:] = [-100] * len(prompt) + [*answer, end]
    return kept""",
        {"P3.2": SHARED},
    ),
]
