"""Answers to P2, and what the grader must say to each."""

from course_tools.grading.references import p2 as mistakes
from course_tools.grading.selftest import right, wrong
from course_utils.grading.item import IN_PLACE
from course_utils.grading.items import p2
from course_utils.grading.recorded import OTHER_RUN

EVALUATE = """import torch
from torch.nn.functional import cross_entropy
@torch.no_grad()
def evaluate(model, batches):
    model.eval()
    each, hits = [], []
    for batch in batches:
        z = model(batch["input_ids"], batch["attention_mask"])
        each.append(cross_entropy(z, batch["labels"], reduction="none"))
        hits.append((z.argmax(1) == batch["labels"]).float())
    """
FLAT = "return torch.cat(each).mean(), torch.cat(hits).mean()"
STEP = """import torch
from torch.nn.functional import cross_entropy
def train_step(model, optimizer, batch):
    model.train()
    optimizer.zero_grad()
    loss = cross_entropy(model(batch["input_ids"], batch["attention_mask"]), batch["labels"])
    loss.backward()
    optimizer.step()
    return loss.item()"""
RATE = "def learning_rate(step, steps, warmup, peak):\n    "
RISE = RATE + "if step <= warmup: return peak * step / warmup\n    "
CHANGED = "import copy\nrecorded_P2 = copy.deepcopy(recorded_P2)\n"

BANK = [
    wrong(
        "a copy",
        "import copy\ndef random_twin(model): return copy.deepcopy(model)",
        {"P2.1": p2.TWIN_SAME},
    ),
    wrong("the model itself", "def random_twin(model): return model", {"P2.1": p2.TWIN_SAME}),
    wrong(
        "reset in place",
        """def random_twin(model):
    for module in model.modules():
        if hasattr(module, "reset_parameters"): module.reset_parameters()
    return model""",
        {"P2.1": p2.TWIN_CHANGED},
    ),
    wrong(
        "another configuration",
        """from transformers import BertConfig, BertModel
def random_twin(model):
    return BertModel(BertConfig(vocab_size=model.config.vocab_size, hidden_size=12,
        num_hidden_layers=2, num_attention_heads=2, intermediate_size=24))""",
        {"P2.1": p2.TWIN_SIZE},
    ),
    wrong(
        "shuffled",
        """import copy, torch
def random_twin(model):
    twin = copy.deepcopy(model)
    for p in twin.parameters(): p.data = p.data.flatten()[torch.randperm(p.numel())].view_as(p)
    return twin""",
        {"P2.1": p2.TWIN_SHUFFLED},
    ),
    wrong(
        "zeros",
        """import torch
def random_twin(model):
    twin = type(model)(model.config)
    for p in twin.parameters(): torch.nn.init.zeros_(p)
    return twin""",
        {"P2.1": p2.TWIN_ZERO},
    ),
    wrong(
        "all weights drawn alike",
        """import torch
def random_twin(model):
    twin = type(model)(model.config)
    for p in twin.parameters(): torch.nn.init.normal_(p, std=0.02)
    return twin""",
        {"P2.1": p2.TWIN_NORM},
    ),
    wrong(
        "one layer kept",
        """def random_twin(model):
    twin = type(model)(model.config)
    twin.encoder.layer[-1].load_state_dict(model.encoder.layer[-1].state_dict())
    return twin""",
        {"P2.1": "twin"},
    ),
    wrong(
        "mean of means",
        EVALUATE + "return sum(e.mean() for e in each) / len(each), torch.cat(hits).mean()",
        {"P2.2": mistakes.BATCHES},
    ),
    wrong(
        "in training mode",
        (EVALUATE + FLAT).replace("model.eval()", "model.train()"),
        {"P2.2": mistakes.TRAINING},
    ),
    wrong(
        "sums",
        EVALUATE + "return torch.cat(each).sum(), torch.cat(hits).mean()",
        {"P2.2": mistakes.TOTAL},
    ),
    wrong(
        "percent",
        EVALUATE + "return torch.cat(each).mean(), 100 * torch.cat(hits).mean()",
        {"P2.2": p2.PERCENT},
    ),
    wrong(
        "errors",
        EVALUATE + "return torch.cat(each).mean(), 1 - torch.cat(hits).mean()",
        {"P2.2": mistakes.WRONG_SHARE},
    ),
    wrong(
        "the last batch",
        EVALUATE + "return each[-1].mean(), hits[-1].mean()",
        {"P2.2": mistakes.LAST},
    ),
    wrong(
        "the other order",
        EVALUATE + "return torch.cat(hits).mean(), torch.cat(each).mean()",
        {"P2.2": p2.ORDER},
    ),
    wrong(
        "no zero_grad", STEP.replace("optimizer.zero_grad()", "pass"), {"P2.3": mistakes.NO_ZERO}
    ),
    wrong("no step", STEP.replace("optimizer.step()", "pass"), {"P2.3": mistakes.NO_STEP}),
    wrong(
        "left in evaluation mode",
        STEP.replace("model.train()", "pass"),
        {"P2.3": mistakes.EVALUATING},
    ),
    wrong(
        "a sum",
        STEP.replace('batch["labels"])', 'batch["labels"], reduction="sum")'),
        {"P2.3": mistakes.SUMMED},
    ),
    wrong(
        "uphill", STEP.replace("loss.backward()", "(-loss).backward()"), {"P2.3": mistakes.UPHILL}
    ),
    wrong(
        "the loss after the step",
        STEP.replace(
            "return loss.item()",
            'return cross_entropy(model(batch["input_ids"], batch["attention_mask"]), '
            'batch["labels"])',
        ),
        {"P2.3": mistakes.AFTER},
    ),
    wrong("no return", STEP.replace("return loss.item()", ""), {"P2.3": "returns nothing"}),
    wrong(
        "no warm-up",
        RATE + "return peak * (steps - step) / steps",
        {"P2.4": mistakes.NO_WARMUP},
    ),
    wrong("no fall", RISE + "return peak", {"P2.4": mistakes.NO_DECAY}),
    wrong(
        "a fall from the start",
        RISE + "return peak * (steps - step) / steps",
        {"P2.4": mistakes.FROM_START},
    ),
    wrong(
        "counted from 0",
        RATE
        + """if step <= warmup: return peak * (step - 1) / warmup
    return peak * (steps - step + 1) / (steps - warmup)""",
        {"P2.4": mistakes.LATE},
    ),
    wrong(
        "cosine",
        "import math\n"
        + RISE
        + "return peak * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2",
        {"P2.4": mistakes.COSINE},
    ),
    wrong(
        "swapped runs",
        "recorded_P2 = {'pretrained': recorded_P2['random'], 'random': recorded_P2['pretrained']}",
        {"P2.5": p2.SWAPPED},
    ),
    wrong(
        "measured on the training texts",
        CHANGED + """for run in recorded_P2.values(): run["validation_loss"] = run["train_loss"]""",
        {"P2.5": p2.SAME_CURVES},
    ),
    wrong(
        "no start",
        CHANGED
        + """for run in recorded_P2.values():
    run["steps"] = [step + 1 for step in run["steps"]]""",
        {"P2.5": p2.STEPS},
    ),
    wrong(
        "a better accuracy",
        CHANGED + "recorded_P2['pretrained']['validation_accuracy'][-1] = 0.93",
        {"P2.5": OTHER_RUN},
    ),
    wrong(
        "guesses left out",
        CHANGED + "recorded_P2['random'].pop('guesses')",
        {"P2.5": "is a dictionary with"},
    ),
    wrong(
        "one run only",
        "recorded_P2 = {'pretrained': recorded_P2['pretrained']}",
        {"P2.5": "lacks 'random'"},
    ),
    right(
        "other ways",
        """import torch
def random_twin(model):
    from transformers import AutoModel
    return AutoModel.from_config(model.config)
def evaluate(model, batches):
    was = model.training
    model.eval()
    total = right = count = 0
    for batch in batches:
        with torch.no_grad():
            logs = model(batch["input_ids"], batch["attention_mask"]).log_softmax(-1)
        total -= float(logs.gather(1, batch["labels"][:, None]).sum())
        right += int((logs.argmax(-1) == batch["labels"]).sum())
        count += len(logs)
    model.train(was)
    return [total / count, right / count]
def learning_rate(step, steps, warmup, peak):
    return peak * min(step / warmup, (steps - step) / (steps - warmup))""",
    ),
    right(
        "a step that cleans up afterwards",
        """import torch
def train_step(model, optimizer, batch):
    model.zero_grad()
    model.train()
    inputs = {key: batch[key] for key in ("input_ids", "attention_mask")}
    loss = torch.nn.CrossEntropyLoss()(model(**inputs), batch["labels"])
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()""",
    ),
    right("all texts at once", EVALUATE + FLAT),
    right(
        "a copy that is drawn anew",
        """import copy, torch
def random_twin(model):
    twin = copy.deepcopy(model)
    for name, p in twin.named_parameters():
        if p.ndim == 2: torch.nn.init.normal_(p, 0, 0.02)
        elif "LayerNorm.weight" in name: torch.nn.init.ones_(p)
        else: torch.nn.init.zeros_(p)
    return twin""",
    ),
    wrong(
        "zero only afterwards",
        STEP.replace("optimizer.zero_grad()", "pass").replace(
            "return", "optimizer.zero_grad()\n    return"
        ),
        {"P2.3": mistakes.LEFT_OVER},
    ),
    wrong(
        "zero between backward and step",
        STEP.replace("optimizer.zero_grad()", "pass").replace(
            "optimizer.step()", "optimizer.zero_grad()\n    optimizer.step()"
        ),
        {"P2.3": mistakes.NO_STEP},
    ),
    wrong(
        "the batches are emptied",
        """right_one = evaluate
def evaluate(model, batches):
    result = right_one(model, batches)
    batches.clear()
    return result""",
        {"P2.2": IN_PLACE},
    ),
]
