"""The user's module is the base: what is not the framework's keeps its bytes and order."""

from __future__ import annotations

import ast

import pytest
from support.scripts import LORA, SFT, converted, migrated

PLAIN = SFT.format(
    config='output_dir="out", save_strategy="no"', lora=LORA, trainer="", after=""
).lstrip()
IMPORTS, CODE = PLAIN[: PLAIN.index("dataset =")], PLAIN[PLAIN.index("dataset =") :]


def result_of(text: str) -> str:
    return converted(migrated(text))


def imports_of(text: str) -> list[str]:
    """Return the import lines at the top of a module."""
    lines = text.split('"""', 2)[2].split("def tokenize_row", 1)[0].splitlines()
    return [line for line in lines if line.startswith(("import ", "from "))]


def test_imports_stand_in_the_order_of_isort():
    assert imports_of(result_of(PLAIN)) == [
        "import json",
        "import math",
        "import os",
        "from pathlib import Path",
        "from types import SimpleNamespace",
        "import mint",
        "import torch",
        "from datasets import load_dataset",
        "from mint import types",
    ]


@pytest.mark.parametrize(
    ("extra", "kept"),
    [
        ("from trl import SFTConfig as C\n", False),
        ("from peft import TaskType\n", False),
        ("import trl.trainer\n", False),
        ("from transformers import AutoTokenizer\nAutoTokenizer.from_pretrained('x')\n", True),
        ("from transformers import set_seed\nset_seed(1)\n", True),
        ("import numpy as np\nnp.zeros(1)\n", True),
        ("import numpy as np\n", True),
    ],
)
def test_an_import_stays_while_something_uses_it_or_it_was_never_the_frameworks(extra, kept):
    line = extra.splitlines()[0]
    assert (f"\n{line}\n" in result_of(IMPORTS + extra + CODE)) is kept


def test_an_import_that_only_removed_code_used_goes():
    text = "import multiprocessing\n" + PLAIN.replace(
        'save_strategy="no"',
        'save_strategy="no", dataloader_num_workers=multiprocessing.cpu_count()',
    )
    assert "multiprocessing" not in result_of(text)


@pytest.mark.parametrize(
    "tail",
    [
        "def other():\n    from mylib import SFTTrainer\n    return SFTTrainer()\n",
        "def other():\n    from peft import LoraConfig\n    return 1\n",
        "def other():\n    import multiprocessing\n    return multiprocessing.Pool()\n",
    ],
)
def test_imports_of_one_name_in_different_functions_are_told_apart(tail):
    text = "import multiprocessing\n" + PLAIN.replace(
        'save_strategy="no"',
        'save_strategy="no", dataloader_num_workers=multiprocessing.cpu_count()',
    )
    result = result_of(text + tail)
    assert ("LoraConfig" not in result) if "peft" in tail else tail in result


@pytest.mark.parametrize(
    ("old", "new", "left"),
    [
        (
            "from trl import SFTConfig, SFTTrainer\n",
            "import os; from trl import SFTConfig, SFTTrainer\n",
            "import os\n",
        ),
        (
            "from trl import SFTConfig, SFTTrainer\n",
            "from trl import SFTConfig, SFTTrainer; import abc\n",
            "import abc\n",
        ),
        (
            "from trl import SFTConfig, SFTTrainer\n",
            "try:\n    from trl import SFTConfig, SFTTrainer\nexcept ImportError:\n    raise\n",
            "try:\n    pass\nexcept ImportError:\n    raise\n",
        ),
        (
            "from datasets import load_dataset\n",
            "from datasets import (  # data\n    # rows\n    load_dataset,\n)\n",
            "from datasets import (  # data\n    # rows\n    load_dataset,\n)\n",
        ),
    ],
)
def test_imports_are_taken_apart_wherever_they_stand(old, new, left):
    result = result_of(PLAIN.replace(old, new))
    assert left in result
    assert "trl import" not in result


def test_imports_inside_a_function_are_taken_out_there():
    body = "".join(f"    {line}\n" for line in PLAIN.splitlines() if line.strip())
    result = result_of(f"def main():\n{body}\nmain()\n")
    assert "    from datasets import load_dataset\n    dataset = load" in result
    assert "trl import" not in result


def test_an_import_that_came_too_late_moves_to_the_top():
    result = result_of(PLAIN + "print(trainer.state.log_history)\nimport json\nprint(json)\n")
    assert result.count("import json\n") == 1
    assert result.index("import json\n") < result.index("def tokenize_row")


def test_future_imports_stay_first():
    result = result_of('"""Doc."""\nfrom __future__ import annotations\nimport os\n' + PLAIN)
    tree = ast.parse(result)
    assert isinstance(tree.body[1], ast.ImportFrom)
    assert tree.body[1].module == "__future__"


def test_comments_between_imports_stay():
    result = result_of("import os\n\n# group two\n" + IMPORTS + "# after\n" + CODE)
    assert "# group two\n" in result
    assert "# after\n" in result


@pytest.mark.parametrize(
    "docstring",
    [
        '"""Plain."""',
        "'''With \"double\" quotes.'''",
        "'''Ends in a quote\"'''",
        "'''Holds \"\"\"three\"\"\".'''",
        'r"""A \\path\\new."""',
        '"""Escaped \\\\n and \\t."""',
        '"""日本語 “quoted”."""',
        '"one line"',
        '"joined " "string"',
    ],
)
def test_the_users_docstring_comes_first(docstring):
    own = ast.literal_eval(docstring).replace('"""', "'''")
    written = ast.get_docstring(ast.parse(result_of(f"{docstring}\n{PLAIN}")), clean=False)
    assert written is not None
    assert written.startswith(f"{own.strip()}\n\nSupervised fine-tuning on MinT")


def test_magic_lines_stay_at_the_top():
    result = result_of("#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n" + PLAIN)
    assert result.startswith("#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n")


def test_a_licence_stays_at_the_top():
    assert result_of("# Copyright me\n# MIT\n\n" + PLAIN).startswith("# Copyright me\n# MIT\n\n")


@pytest.mark.parametrize(
    "block",
    [
        "def keep( a,b ):\n\n\n    return  {'x':a }  # odd\n",
        "class  Kept( object ):\n    '''doc'''\n    x=1;y = 2\n",
        "if  True :\n  x =  3\nelse :\n  x=4\n",
        "x = [ 1,\n      2, # two\n  3 ]\n",
        "s = '''a\n   b\n'''\n",
        "x = 'é' ; y = \"日本\"\n",
        "lines = 'a\\r\\nb'\n",
        "match  1 :\n    case  [ _ ] :  pass\n",
        "async  def  f( ) :\n    await  g( )\n",
        "@ deco\ndef f( ): pass\n",
        "print( f'{ 1 + 1 !r}' )\n",
        "# only a comment\n",
        "x = 1 \\\n    + 2\n",
        "def f():\n\treturn 1\n",
        "x = 1\x0c\n",
        'y = "a\u2028b"\n',
    ],
)
def test_code_that_is_not_the_frameworks_keeps_its_bytes(block):
    head = "def deco(f): return f\ndef g(): pass\n"
    assert block in result_of(IMPORTS + head + block + CODE + block)


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (
            "# above\ntrainer.train()  # behind\n# below\n",
            ["# above\n", ")  # behind\n", "# below\n"],
        ),
        ("trainer.train()\n# c1\ntrainer.save_state()  # c2\n# c3\n", ["# c1\n# c2\n# c3\n"]),
        (
            "trainer.train()\nif 1:\n    # c1\n    trainer.save_state()  # c2\n    # c3\n",
            ["    # c1\n    # c2\n", "    # c3\n"],
        ),
    ],
)
def test_comments_around_replaced_statements_stay(line, kept):
    result = result_of(PLAIN.replace("trainer.train()\n", line))
    for piece in kept:
        assert piece in result


@pytest.mark.parametrize(
    "block",
    [
        "if 1:\n    trainer.save_state()\n",
        "if 1:\n    pass\nelse:\n    trainer.save_state()\n",
        "try:\n  trainer.save_state()\nexcept OSError:\n  trainer.save_state()\n",
        "try:\n  x = 1\nfinally:\n  trainer.save_state()\n",
        "while 0:\n    trainer.save_state()\nelse:\n    trainer.save_state()\n",
        "for x in []: trainer.save_state()\n",
        "with open('x'):\n    trainer.save_state()\n",
        "match 1:\n    case 1:\n        trainer.save_state()\n",
        "def f():\n    trainer.save_state()\n",
        "class A:\n    trainer.save_state()\n",
    ],
)
def test_a_body_that_lost_everything_passes(block):
    result = result_of(PLAIN + block)
    assert "save_state" not in result.split("training_client = train(")[1]
    assert "pass\n" in result.split("training_client = train(")[1]


@pytest.mark.parametrize(
    ("indent", "name"), [("\t", "tabs"), ("  ", "two spaces"), ("        ", "eight")]
)
def test_the_users_indentation_is_used_in_the_users_code(indent, name):
    body = "".join(f"{indent}{line}\n" for line in CODE.splitlines() if line.strip())
    result = result_of(f"{IMPORTS}def main():\n{body}main()\n")
    assert f"\n{indent}train(\n{indent}    config,\n" in result


def test_strings_over_lines_keep_their_text_in_an_edited_statement():
    body = CODE + 'x = trainer.is_world_process_zero() and """\n       text\n    """\n'
    indented = "".join(f"    {line}\n" if line.strip() else "\n" for line in CODE.splitlines())
    tail = '    x = trainer.is_world_process_zero() and """\n       text\n    """\n'
    result = result_of(f"{IMPORTS}def main():\n{indented}{tail}main()\n")
    assert '    x = True and """\n       text\n    """\n' in result
    assert 'x = True and """\n       text\n    """\n' in result_of(IMPORTS + body)


def test_a_value_over_lines_keeps_its_strings():
    text = PLAIN.replace(
        "train_dataset=dataset", 'train_dataset=dataset.filter(lambda r: r != """\n  a\n    b""")'
    )
    assert 'r != """\n  a\n    b"""' in result_of(text)


def test_orphans_of_removed_code_go():
    text = PLAIN.replace("config =", 'ds_config = {"zero": 3}\nconfig =').replace(
        'save_strategy="no"', 'save_strategy="no", deepspeed=ds_config'
    )
    assert "ds_config" not in result_of(text)


@pytest.mark.parametrize(
    "setup",
    [
        "ds_config = make()",
        "ds_config = {'a': 1}\nprint(ds_config)",
        "ds_config = open('x')",
    ],
)
def test_values_with_effects_or_other_readers_stay(setup):
    text = PLAIN.replace("config =", f"{setup}\nconfig =").replace(
        'save_strategy="no"', 'save_strategy="no", deepspeed=ds_config'
    )
    assert setup in result_of(text)
