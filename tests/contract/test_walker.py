"""The independent walker counts what was counted by hand."""

from __future__ import annotations

import pytest
from support.walker import Item, counts, found


def names(source: str, kind: str) -> list[str]:
    """Return the names of the items of one kind, in order of position."""
    return [item.name for item in found(source) if item.kind == kind]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from trl import SFTConfig, SFTTrainer", ["trl.SFTConfig", "trl.SFTTrainer"]),
        ("import trl", ["trl"]),
        ("import trl.trainer, peft as p, os", ["trl.trainer", "peft"]),
        ("from trl import *", ["trl.*"]),
        (
            "from trl.trainer.sft_trainer import SFTTrainer as T",
            ["trl.trainer.sft_trainer.SFTTrainer"],
        ),
        ("def f():\n    from peft import LoraConfig", ["peft.LoraConfig"]),
        ("try:\n    import unsloth\nexcept ImportError:\n    pass", ["unsloth"]),
        ("from .trl import SFTTrainer", []),
        ("import trlx\nfrom datasets import load_dataset", []),
        ("text = 'from trl import SFTTrainer'  # import trl", []),
    ],
)
def test_every_name_bound_from_a_source_package_is_an_import(
    source: str, expected: list[str]
) -> None:
    assert names(source, "import") == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from trl import SFTTrainer as Trainer\nTrainer()", ["trl.SFTTrainer"]),
        ("import trl as t\nt.SFTTrainer()", ["trl.SFTTrainer"]),
        ("import trl.trainer\ntrl.trainer.SFTTrainer()", ["trl.trainer.SFTTrainer"]),
        ("import trl.trainer as tt\ntt.SFTTrainer()", ["trl.trainer.SFTTrainer"]),
        (
            "from transformers import AutoTokenizer as A\nA.from_pretrained('x').encode('y')",
            ["transformers.AutoTokenizer.from_pretrained"],
        ),
        (
            "def f():\n    from trl import SFTTrainer\n    SFTTrainer()\nSFTTrainer()",
            ["trl.SFTTrainer"],
        ),
        ("def f():\n    return g()\nfrom trl import g", ["trl.g"]),
        ("import trl\nx = [lambda: trl.f() for _ in y if trl.g()]", ["trl.f", "trl.g"]),
        (
            "from trl import f, g\n@f(1)\ndef h(x: g() = f()):\n    pass",
            ["trl.f", "trl.g", "trl.f"],
        ),
        ("from trl import SFTTrainer\ncls = SFTTrainer\ncls()", []),
    ],
)
def test_calls_resolve_through_imports(source: str, expected: list[str]) -> None:
    assert names(source, "call") == expected


@pytest.mark.parametrize(
    "source",
    [
        "from trl import SFTTrainer\nclass SFTTrainer: ...\nSFTTrainer()",
        "from trl import SFTTrainer\ndef SFTTrainer(): ...\nSFTTrainer()",
        "from trl import SFTTrainer\nSFTTrainer = print\nSFTTrainer()",
        "from trl import SFTTrainer\nfrom mine import SFTTrainer\nSFTTrainer()",
        "from trl import SFTTrainer\ndef f(SFTTrainer):\n    SFTTrainer()",
        "from trl import SFTTrainer\ndef f(*, a, **SFTTrainer):\n    SFTTrainer()",
        "from trl import SFTTrainer\ndef f():\n    for SFTTrainer in x:\n        SFTTrainer()",
        "from trl import SFTTrainer\ndef f():\n    with x as SFTTrainer:\n        SFTTrainer()",
        "from trl import SFTTrainer\n[SFTTrainer() for SFTTrainer in x]",
        "from trl import SFTTrainer\nf = lambda SFTTrainer: SFTTrainer()",
        "from trl import SFTTrainer\nmatch x:\n    case [SFTTrainer]:\n        SFTTrainer()",
        "import trl\ndef f():\n    global trl\n    trl = x\ntrl.SFTTrainer()",
        "class C:\n    from trl import SFTTrainer\n    def f(self):\n        SFTTrainer()",
        "from .trl import SFTTrainer\nSFTTrainer()",
        "class SFTTrainer: ...\ntrainer = SFTTrainer(model=1)\ntrainer.train()",
    ],
)
def test_shadowed_names_are_left_alone(source: str) -> None:
    assert set(counts(source)) <= {"import"}


def test_name_shadowed_in_one_function_resolves_in_another() -> None:
    source = (
        "from trl import f\ndef g():\n    f = print\n    f()\ndef h():\n    def k():\n        f()\n"
    )
    assert [(item.line, item.name) for item in found(source) if item.kind == "call"] == [
        (7, "trl.f")
    ]


def test_arguments_count_positional_keyword_and_starred_ones() -> None:
    source = "from trl import T\nT(a, *rest, args=b, **more, **vars(x))"
    assert names(source, "argument") == [
        "trl.T[0]",
        "trl.T[1]",
        "trl.T.args",
        "trl.T.**",
        "trl.T.**",
    ]


def test_argument_that_is_itself_a_source_call_counts_with_its_own_arguments() -> None:
    source = "import trl, peft\ntrl.SFTTrainer(peft_config=peft.LoraConfig(r=8, lora_alpha=16))"
    assert counts(source) == {"argument": 3, "call": 2, "import": 2}


@pytest.mark.parametrize(
    ("source", "keys", "arguments"),
    [
        ("s = {'lr': 1, 'seed': 2}\nC(**s)", ["trl.C.lr", "trl.C.seed"], []),
        ("s = dict(lr=1, **o)\nC(out, **s)", ["trl.C.lr", "trl.C.**"], ["trl.C[0]"]),
        ("s: dict = {'lr': 1, **o}\nC(**s)", ["trl.C.lr", "trl.C.**"], []),
        ("def f():\n    s = {'lr': 1}\n    C(**s)", ["trl.C.lr"], []),
        ("s = {'lr': 1}\ndef f():\n    C(**s)", [], ["trl.C.**"]),
        ("s = {'lr': 1}\ns = {'lr': 2}\nC(**s)", [], ["trl.C.**"]),
        ("s = load()\nC(**s)", [], ["trl.C.**"]),
        ("C(**{'lr': 1})", [], ["trl.C.**"]),
    ],
)
def test_splatted_dict_counts_its_keys_when_bound_once_in_the_same_scope(
    source: str, keys: list[str], arguments: list[str]
) -> None:
    source = "from trl import C\n" + source
    assert sorted(names(source, "config_key")) == sorted(keys)
    assert names(source, "argument") == arguments


def test_callbacks_count_beside_the_argument_that_lists_them() -> None:
    source = (
        "from transformers import EarlyStoppingCallback\nfrom trl import SFTTrainer\n"
        "SFTTrainer(model, callbacks=[Mine('log'), EarlyStoppingCallback(3), other])"
    )
    assert names(source, "callback") == ["Mine", "transformers.EarlyStoppingCallback", "other"]
    assert counts(source) == {"argument": 3, "call": 2, "callback": 3, "import": 2}


def test_callbacks_of_a_foreign_call_are_left_alone() -> None:
    assert counts("fit(callbacks=[A(), B()])") == {}


TRAINER = "from trl import SFTTrainer\ntrainer = SFTTrainer()\n"


@pytest.mark.parametrize(
    ("use", "methods", "arguments"),
    [
        ("trainer.train()", ["trl.SFTTrainer.train"], []),
        (
            "trainer.train(resume_from_checkpoint=x)",
            ["trl.SFTTrainer.train"],
            ["trl.SFTTrainer.train.resume_from_checkpoint"],
        ),
        (
            "trainer.model.save_pretrained(path)",
            ["trl.SFTTrainer.model.save_pretrained"],
            ["trl.SFTTrainer.model.save_pretrained[0]"],
        ),
        ("print(trainer.state.log_history[-1]['loss'])", ["trl.SFTTrainer.state.log_history"], []),
        (
            "trainer.model.to('cpu').eval(1)",
            ["trl.SFTTrainer.model.to"],
            ["trl.SFTTrainer.model.to[0]", "trl.SFTTrainer.model.to.eval[0]"],
        ),
        ("trainer.args.seed = 3", ["trl.SFTTrainer.args.seed"], []),
        (
            "trainer.log(trainer.state)",
            ["trl.SFTTrainer.log", "trl.SFTTrainer.state"],
            ["trl.SFTTrainer.log[0]"],
        ),
        ("def f():\n    trainer.train()", ["trl.SFTTrainer.train"], []),
        ("def f(trainer):\n    trainer.train()", [], []),
        ("use(trainer)\nother.trainer.train()", [], []),
    ],
)
def test_chain_on_a_trainer_counts_once(use: str, methods: list[str], arguments: list[str]) -> None:
    assert names(TRAINER + use, "method") == methods
    assert names(TRAINER + use, "argument") == arguments


def test_rebound_trainer_belongs_to_the_last_binding_before_its_use() -> None:
    source = (
        "from trl import SFTTrainer, DPOTrainer\n"
        "t = None\nt = SFTTrainer()\nt.train()\nt = DPOTrainer()\nt.train()\n"
    )
    assert names(source, "method") == ["trl.SFTTrainer.train", "trl.DPOTrainer.train"]


def test_trainer_kept_on_self_is_followed_within_its_class() -> None:
    source = (
        "from trl import SFTTrainer\n"
        "class A:\n"
        "    def fit(self):\n        self.trainer = SFTTrainer(args=self.args)\n"
        "    def go(self):\n        self.trainer.train()\n        return self.trainer\n"
        "class B:\n    def go(self):\n        self.trainer.train()\n"
    )
    assert [(i.line, i.name) for i in found(source) if i.kind == "method"] == [
        (6, "trl.SFTTrainer.train")
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "from transformers import AutoModelForCausalLM as A\n"
            "m = A.from_pretrained('x')\nm.config.use_cache = False\nm.config['a'] = 1",
            [
                "transformers.AutoModelForCausalLM.config.use_cache",
                "transformers.AutoModelForCausalLM.config",
            ],
        ),
        (
            "from peft import get_peft_model\nm = get_peft_model(base, c)\nm.set_adapter('a')",
            ["peft.get_peft_model.set_adapter"],
        ),
        (
            "from transformers import AutoModel\nfrom peft import get_peft_model\n"
            "m = AutoModel.from_pretrained('x')\nm.train()\nm = get_peft_model(m, c)\nm.eval()",
            ["transformers.AutoModel.train", "peft.get_peft_model.eval"],
        ),
        (
            "import peft\nm = peft.get_peft_model(b, c)\nm = m.merge_and_unload()\nm.generate()",
            ["peft.get_peft_model.merge_and_unload", "peft.get_peft_model.generate"],
        ),
        (
            "from unsloth import FastLanguageModel\n"
            "m, tok = FastLanguageModel.from_pretrained('x')\nm.eval()\ntok.decode()",
            ["unsloth.FastLanguageModel.eval"],
        ),
        (
            "from transformers import AutoTokenizer as A\nt = A.from_pretrained('x')\nt.pad = 1",
            [],
        ),
        (
            "from trl import SFTTrainer\nt = SFTTrainer()\nr = t.train()\nr.metrics",
            ["trl.SFTTrainer.train"],
        ),
    ],
)
def test_models_are_followed_and_tokenizers_are_not(source: str, expected: list[str]) -> None:
    assert names(source, "method") == expected


def test_methods_of_subclasses_count_and_their_bases_do_not() -> None:
    source = (
        "from trl import SFTTrainer\n"
        "class Mine(SFTTrainer):\n    x = 1\n"
        "    def compute_loss(self): ...\n    async def log(self): ...\n"
        "class Plain(Mine):\n    def more(self): ...\n"
    )
    methods = ["trl.SFTTrainer.compute_loss", "trl.SFTTrainer.log", "trl.SFTTrainer.more"]
    assert names(source, "method") == methods
    assert counts(source) == {"import": 1, "method": 3}


def test_positions_count_characters_from_one() -> None:
    source = "from trl import A as Ä, B\né = Ä('ü', seed=1)\n"
    assert found(source) == [
        Item(kind="import", name="trl.A", line=1, column=17),
        Item(kind="import", name="trl.B", line=1, column=25),
        Item(kind="call", name="trl.A", line=2, column=5),
        Item(kind="argument", name="trl.A[0]", line=2, column=7),
        Item(kind="argument", name="trl.A.seed", line=2, column=12),
    ]


def test_text_that_is_not_python_is_refused() -> None:
    with pytest.raises(SyntaxError):
        found("from trl import")
