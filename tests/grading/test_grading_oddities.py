"""Honest notebooks as students write them define in the grader's worker what they do in Jupyter.

Each is run twice: by IPython, on the student's machine, where files, modules and the keyboard are
there; and in the jail, where they are not. `probe` says what must be the same.
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from course_tools.grading.jail import Jail, Limits
from course_tools.grading.jailed import Jailed
from course_utils.grading.item import Wrong

pytestmark = pytest.mark.usefixtures("the_jail_starts")

# name → (cells, an expression whose text must be equal)
ODD = {
    "await": (["import asyncio\nawait asyncio.sleep(0)\ndef f(): return 3"], "f()"),
    "await a function": (["async def g(): return 4", "x = await g()\ny = x + 1"], "x, y"),
    "await without asyncio": (["async def g(): return 4\nx = [await g() for _ in 'ab']"], "x"),
    "a task": (["import asyncio\nasync def g(): return 5\n"
                "t = asyncio.create_task(g())\nx = await t"], "x"),
    "a task for later": (["import asyncio\nasync def g(): return 5\n"
                          "t = asyncio.ensure_future(g())\nawait asyncio.sleep(0)",
                          "x = await t"], "x"),
    "async for": (["async def g():\n    yield 1\n    yield 2", "x = [n async for n in g()]"], "x"),
    "async with": (["import contextlib\n@contextlib.asynccontextmanager\n"
                    "async def g():\n    yield 8",
                    "async with g() as x: pass"], "x"),
    "annotations are objects": (["def f(x: int): return x"], "f.__annotations__['x'] is int"),
    "a data class": (["import dataclasses\n@dataclasses.dataclass\nclass C:\n    x: int = 3"],
                     "dataclasses.fields(C)[0].type is int, C().x"),
    "annotations are text": (["from __future__ import annotations\ndef f(x: int): return x",
                              "def g(x: Later): return x"],
                             "f.__annotations__['x'], g.__annotations__['x']"),
    "pickle an object": (["import pickle\nclass C:\n    x = 3",
                          "y = pickle.loads(pickle.dumps(C()))"], "y.x"),
    "pickle a function": (["import pickle\ndef f(): return 3", "g = pickle.loads(pickle.dumps(f))"],
                          "g() + 1"),
    "a named tuple": (["import collections, pickle\nP = collections.namedtuple('P', 'x y')\n"
                       "p = pickle.loads(pickle.dumps(P(1, 2)))"], "p"),
    "an enumeration": (["import enum, copy\nclass E(enum.Enum):\n    A = 1\n"
                        "e = copy.deepcopy(E.A)"], "e"),
    "processes": (["import multiprocessing as mp\ndef square(n): return n * n\n"
                   "with mp.get_context('fork').Pool(2) as p: x = p.map(square, [1, 2])"], "x"),
    "threads": (["from concurrent.futures import ThreadPoolExecutor as T\n"
                 "with T(2) as pool: x = list(pool.map(abs, [-1, 2]))"], "x"),
    "main": (["if __name__ == '__main__':\n    x = 3"], "x, __name__"),
    "import main": (["x = 3", "import __main__\ny = __main__.x"], "y"),
    "modules": (["import sys\ndef f(): return 3\nx = sys.modules[f.__module__].f()"], "x"),
    "source": (["def f():\n    # a remark\n    return 3",
                "import inspect\ns = inspect.getsource(f)"], "s"),
    "source after a magic": (["%precision 3\ndef f():\n    return 3",
                              "import inspect\ns = inspect.getsource(f)"], "s"),
    "source in the middle": (["x = 1\n\ndef g(): pass\ndef f(n):\n    return n\ny = 2",
                              "import inspect\ns = inspect.getsource(f)"], "s"),
    "a traceback": (["def f(): return 1 / 0",
                     "import traceback\ntry: f()\nexcept Exception: s = traceback.format_exc()"],
                    "s.count('return 1 / 0')"),
    "torch script": (["import torch\n@torch.jit.script\ndef f(x):\n    return x + 1"],
                     "f(torch.ones(1)).item()"),
    "torch save": (["import torch, io\nclass M(torch.nn.Module):\n"
                    "    def forward(self, x): return x + 2",
                    "b = io.BytesIO()\ntorch.save(M(), b)\nb.seek(0)\n"
                    "m = torch.load(b, weights_only=False)"], "m(1)"),
    "time a line": (["%time f = lambda n: n - 1"], "f(3)"),
    "time an expression": (["x = %time 3 + 4"], "x"),
    "time a cell": (["%%time\ndef f(): return 3"], "f()"),
    "time in a block": (["if True:\n    %time x = 3\n    y = 4"], "x, y"),
    "timeit": (["%timeit -n 1 -r 1 3 + 4\ndef f(): return 3"], "f()"),
    "timeit a cell": (["%%timeit -n 1 -r 1\n3 + 4", "x = 5"], "x"),
    "capture": (["%%capture\ndef f(): return 3\nprint(f())"], "f()"),
    "capture by name": (["%%capture out\nprint('hello')\nx = 3", "y = out is not None"], "x, y"),
    "two magics": (["%%time\n%precision 3\nx = 3"], "x"),
    "a magic by name": (["get_ipython().run_line_magic('time', 'x = 3')"], "x"),
    "the shell by name": (["from IPython import get_ipython\nshell = get_ipython()\n"
                           "shell.run_line_magic('precision', '3')\ndef f(): return 3"], "f()"),
    "install": (["!pip --version \\\n   --quiet\ndef f(): return 3"], "f()"),
    "install in a block": (["import sys\nif 'google.none' in sys.modules:\n    !pip --version\n"
                            "def f(): return 3"], "f()"),
    "a command's lines": (["lines = !echo a\nn = len(lines) >= 0"], "n"),
    "pip": (["%pip --version\ndef f(): return 3"], "f()"),
    "settings": (["%config InlineBackend.figure_format = 'retina'\nx = 3"], "x"),
    "an extension": (["%load_ext autoreload\n%autoreload 2\nx = 3"], "x"),
    "the environment": (["%env SOME_NAME=3\nx = 3"], "x"),
    "a file": (["%%writefile my_tools.py\ndef f(): return 3", "import my_tools\nx = my_tools.f()"],
               "x"),
    "a longer file": (["%%writefile my_more.py\na = 1", "%%writefile -a my_more.py\nb = 2",
                       "from my_more import a, b"], "a, b"),
    "run a file": (["%%writefile my_run.py\ndef f(): return 3", "%run my_run.py"], "f()"),
    "prompts": ([">>> x = 3\n>>> def f():\n...     return x"], "f()"),
    "IPython's prompts": (["In [1]: x = 3\n   ...: y = 4"], "x, y"),
    "the last value": (["3 + 4", "x = _ + 1"], "x"),
    "values by number": (["3 + 4", "x = Out[1] + 1"], "x"),
    "cells by number": (["a = 1", "x = In[1]"], "x"),
    "a silent value": (["3 + 4;", "x = 5"], "x"),
    "a gap named _": (["for _ in range(3): pass\nx = _"], "x"),
    "percent signs in a text": (["%precision 3\nt = '''\n% of tokens\n%time flies\n'''"], "t"),
    "exclamations in a text": (["!true\ntext = '''\n!wow\n  !really\n'''"], "text"),
    "questions in a text": (["%time pass\ntext = '''\nWhy?\nWhy not??\n?\n'''"], "text"),
    "a free text": (["%precision 3\nanswer_T1 = \"\"\"85% is lost.\n% a list\n"
                     "Is it? Yes!\n\"\"\""], "answer_T1"),
    "help": (["print?\ndef f(): return 3"], "f()"),
    "help first": (["?print\n??len\nx = 3"], "x"),
    "a format": (["%time x = 3\ns = f'{x!r} {x:>3}'"], "s"),
    "a remainder": (["!true\nx = (7\n     % 4)"], "x"),
    "a remainder on a line": (["!true\nx = 7 \\\n  % 4"], "x"),
    "a module of one's own": (["import owntools\nx = owntools.three\ndef f(): return 3"], "f()"),
    "a drive": (["from google.colab import drive\ndrive.mount('/content/drive')\n"
                 "def f(): return 3"], "f()"),
    "a question": (["name = input('Your name? ')\ndef f(): return 3"], "f()"),
    "a number asked for": (["n = int(input())\nprint(n)\nclass C:\n    x = 3"], "C.x"),
    "a table": (["rows = open('data.csv').read()\nprint(rows[0])\ndef f(): return 3"], "f()"),
    "a table of pandas": (["import csv\nwith open('data.csv') as file:\n"
                           "    rows = list(csv.reader(file))\n"
                           "first = rows[0]\ndef f(): return 3\nx = f()"], "x"),
    "indented": (["    x = 3\n    y = 4"], "x, y"),
    "tabs": (["if True:\n\tx = 3"], "x"),
    "line ends of Windows": (["x = 3\r\ndef f():\r\n    return x\r\n"], "f()"),
    "letters": (["größe = 3\nπ = 3.14"], "größe, π"),
    "only remarks": (["# nothing", "", "x = 3"], "x"),
    "the later counts": (["def f(): return 1", "def f(): return 2"], "f()"),
    "deleted": (["x = 1\ny = 2", "del x"], "'x' in globals(), y"),
    "by globals": (["globals()['f'] = lambda: 3"], "f()"),
    "by exec": (["exec('def f(): return 3')"], "f()"),
    "walrus": (["if (n := 3) > 2: x = n"], "n, x"),
    "match": (["match [1, 2]:\n    case [a, b]: x = a + b"], "x"),
    "star import": (["from math import *\nx = floor(2.5)"], "x"),
    "annotated": (["x: int = 3\ny: str"], "x, __annotations__['y'] is str"),
    "unpacked": (["a, *b = 1, 2, 3"], "a, b"),
    "cached": (["import functools\n@functools.cache\ndef f(n): return n and f(n - 1)"], "f(3)"),
    "closures": (["def make():\n    n = 0\n    def f():\n        nonlocal n\n"
                  "        n += 1\n        return n\n    return f\nf = make()"], "f() + f()"),
    "comprehensions": (["rate = 2\nclass C:\n    x = [1, 2]\n"
                        "x = [n * rate for n in C.x if n in {*C.x}]"], "x"),
    "global": (["n = 1\ndef f():\n    global n\n    n += 1\nf()"], "n"),
    "docstrings": (["def f():\n    '''\n    >>> f()\n    3\n    '''\n    return 3",
                    "import doctest\ndoctest.run_docstring_examples(f, globals())"], "f()"),
    "display": (["from IPython.display import display, HTML, Markdown\n"
                 "display(HTML('<b>x</b>'))\nx = 3"], "x"),
    "display as it is": (["display(3)\nx = 3"], "x"),
    "other languages": (["%%html\n<b>x</b>", "%%bash\ntrue", "%%markdown\n# x", "x = 3"], "x"),
    "warnings": (["import warnings\nwarnings.warn('careful')\n"
                  "warnings.simplefilter('ignore')\nx = 3"], "x"),
    "logging": (["import logging\nlogging.basicConfig(level=10)\nlogging.debug('x')\nx = 3"], "x"),
    "a bar": (["from tqdm.auto import tqdm\nx = sum(tqdm(range(4)))"], "x"),
}  # fmt: skip

STUDENT = """
import builtins, contextlib, io, json, os, sys, tempfile
os.chdir(tempfile.mkdtemp())
sys.path.insert(0, "")
os.makedirs("google/colab")
for name, text in {"owntools.py": "three = 3", "data.csv": "1,2", "google/__init__.py": "",
                   "google/colab/__init__.py": "",
                   "google/colab/drive.py": "def mount(x): pass"}.items():
    open(name, "w").write(text)
builtins.input = lambda *prompt: "7"
odd, found = json.load(sys.stdin), {}
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for name, (cells, probe) in odd.items():
    shell.reset(new_session=True)
    shell.compile.reset_compiler_flags()
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        for cell in cells:
            shell.run_cell(cell, store_history=True)
        result = shell.run_cell("repr((" + probe + "))").result
    found[name] = result if result is not None else said.getvalue()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def in_jupyter(tmp_path_factory):
    """What IPython makes of every notebook."""
    home = tmp_path_factory.mktemp("home")
    done = subprocess.run(
        [sys.executable, "-c", STUDENT],
        input=json.dumps(ODD),
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "HOME": str(home), "MPLBACKEND": "agg"},
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def in_the_jail(odd):
    """What the grader's worker makes of one; the notes if it makes nothing."""
    cells, probe = odd
    with Jail(Limits()) as jail, Jailed(jail, [*cells, f"found = repr(({probe}))"]) as student:
        try:
            return student.value("found")
        except Wrong as wrong:
            return f"{wrong.hint} {student.notes}"


@pytest.fixture(scope="module")
def in_grading(the_jail_starts):
    """What grading makes of every notebook."""
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(ODD, pool.map(in_the_jail, ODD.values()), strict=True))


def test_there_are_many_oddities():
    assert len(ODD) >= 60


@pytest.mark.parametrize("name", ODD)
def test_the_worker_defines_what_jupyter_defines(name, in_jupyter, in_grading):
    assert in_grading[name] == in_jupyter[name]
