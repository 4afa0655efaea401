"""Lookups in the compiled index: names, releases, inheritance, wildcards."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from mint_migrate.model.plan import Fidelity
from mint_migrate.resources import data_dir
from mint_migrate.tables.lookup import Tables, load_tables

ROW = [None, None, [], "config.x", "exact", None, "keep", [], "", "", "", "https://example.org"]


def row(since=None, until=None, to="config.x", defaults=()):
    return [since, until, [list(item) for item in defaults], to, *ROW[4:]]


def tables(**parts) -> Tables:
    index = {
        "rows": {},
        "aliases": {},
        "roots": ["trl", "transformers"],
        "rules": {},
        "facts": {"transformers_of_the_time": [["4.40.0", None, None, "", ""]]},
        "fact_packages": {"transformers_of_the_time": "trl"},
        "versions": {"trl": ["0.9.6", "0.10.1"], "transformers": ["4.38.2"]},
        "surface": {},
        "bases": {"trl.SFTConfig": {"transformers.TrainingArguments": [0, 2]}},
        "closed": {},
        "commands": {},
        "target": {},
        "target_release": "0.2.0",
    }
    return Tables(index | parts)


def test_a_row_is_chosen_by_release():
    found = tables(rows={"trl.C.x": [row(until="0.10.0", to="old"), row(since="0.16.0", to="new")]})
    assert found.row("trl.C.x", "0.9.6").to == "old"
    assert found.row("trl.C.x", "0.12.0") is None
    assert found.row("trl.C.x", "1.2.0").to == "new"


def test_without_a_release_the_newest_row_answers():
    found = tables(rows={"trl.C.x": [row(since="0.9.0", to="old"), row(since="0.10.0", to="new")]})
    assert found.row("trl.C.x").to == "new"


@pytest.mark.parametrize(
    "name",
    ["trl.SFTTrainer.train", "trl.trainer.SFTTrainer.train", "trl.trainer.sft.SFTTrainer.train"],
)
def test_submodules_of_a_root_lead_to_the_public_name(name):
    found = tables(rows={"trl.SFTTrainer": [row()], "trl.SFTTrainer.train": [row()]})
    assert found.canonical(name) == "trl.SFTTrainer.train"


def test_an_alias_holds_for_names_below_it():
    found = tables(rows={"trl.B": [row()]}, aliases={"trl.old.A": "trl.B"})
    assert found.canonical("trl.old.A.x") == "trl.B.x"
    assert found.canonical("trl.old.Another") == "trl.old.Another"


def test_names_of_other_packages_stay_as_they_are():
    found = tables(rows={"trl.SFTTrainer": [row()]})
    assert found.canonical("mylib.trainer.SFTTrainer") == "mylib.trainer.SFTTrainer"
    assert found.row("mylib.trainer.SFTTrainer") is None


def test_a_wildcard_answers_only_where_no_row_does():
    found = tables(rows={"trl.A.x": [row(to="own")], "trl.A.*": [row(to="any")]})
    assert found.row("trl.A.x").to == "own"
    assert found.row("trl.A.y.z").to == "any"
    assert found.row("trl.A") is None
    assert "trl.A.y" in found
    assert "trl.B.y" not in found


def test_a_row_out_of_its_release_is_not_answered_by_a_wildcard():
    found = tables(rows={"trl.A.x": [row(until="0.10.0")], "trl.A.*": [row(to="any")]})
    assert found.row("trl.A.x", "0.12.0") is None


def test_a_configuration_field_comes_from_the_class_or_from_transformers():
    found = tables(
        rows={
            "trl.SFTConfig.seed": [row(since="0.19.0", to="own")],
            "transformers.TrainingArguments.seed": [row(to="inherited")],
        }
    )
    assert found.config_row("trl.SFTConfig", "seed", "0.19.1").to == "own"
    assert found.config_row("trl.SFTConfig", "seed", "0.9.6").to == "inherited"
    assert found.config_row("trl.SFTConfig", "sed", "0.19.1") is None
    assert found.config_row("trl.DPOConfig", "seed", "0.19.1") is None


def test_an_inherited_field_of_another_release_is_answered_unless_the_release_is_known():
    found = tables(rows={"transformers.TrainingArguments.x": [row(since="5.0.0")]})
    assert found.config_row("trl.SFTConfig", "x", "0.9.6") is not None
    assert found.config_row("trl.SFTConfig", "x", "0.9.6", transformers="4.40.0") is None


def test_an_attribute_that_is_also_an_argument_has_its_own_row():
    found = tables(
        rows={
            "trl.SFTTrainer.model": [row(to="argument")],
            "trl.SFTTrainer.train": [row(to="method")],
            "trainer.model": [row(to="attribute")],
        }
    )
    assert found.attribute_row("trl.SFTTrainer", "model").to == "attribute"
    assert found.attribute_row("trl.SFTTrainer", "train").to == "method"


def test_names_in_answers_for_the_nearest_recorded_release_before():
    found = tables(surface={"trl.SFTConfig": {"a": [0, 1], "b": [0, 2], "c": [1, 2]}})
    assert found.names_in("0.9.6", "trl.SFTConfig") == {"a", "b"}
    assert found.names_in("0.9.99", "trl.SFTConfig") == {"a", "b"}
    assert found.names_in("7.0.0", "trl.SFTConfig") == {"b", "c"}
    assert found.names_in("0.1.0", "trl.SFTConfig") == {"a", "b"}


GMPO = {
    "trl.GMPOConfig": {"trl.GRPOConfig": [1, 2]},
    "trl.GRPOTrainer": {"transformers.Trainer": [0, 2]},
}


def test_a_field_comes_from_the_class_that_a_class_is_derived_from():
    found = tables(
        rows={"trl.GRPOConfig.beta": [row(to="parent")], "trl.GMPOConfig.x": [row(to="own")]},
        bases=GMPO,
    )
    assert found.config_row("trl.GMPOConfig", "x").to == "own"
    assert found.config_row("trl.GMPOConfig", "beta", "0.10.1").to == "parent"
    assert found.config_row("trl.OtherConfig", "beta") is None


def test_a_constructor_that_hands_nothing_on_inherits_no_argument():
    rows = {"trl.GRPOConfig.beta": [row()]}
    assert tables(rows=rows, bases=GMPO).config_row("trl.GMPOConfig", "beta", "0.10.1") is not None
    shut = tables(rows=rows, bases=GMPO, closed={"trl.GMPOConfig": [1, 2]})
    assert shut.config_row("trl.GMPOConfig", "beta", "0.10.1") is None
    assert shut.config_row("trl.GMPOConfig", "beta") is None


def test_a_class_without_a_base_in_a_release_inherits_nothing_there():
    found = tables(
        rows={"trl.OnPolicyConfig.x": [row()]},
        bases={"trl.PPOConfig": {"trl.OnPolicyConfig": [1, 2]}},
        surface={"trl.PPOConfig": {"steps": [0, 1]}},
    )
    assert found.config_row("trl.PPOConfig", "x", "0.10.1") is not None
    assert found.config_row("trl.PPOConfig", "x", "0.9.6") is None


def test_a_class_that_a_release_lacks_has_the_bases_of_the_nearest_that_has_it():
    found = tables(rows={"trl.GRPOConfig.beta": [row()]}, bases=GMPO)
    assert found.bases_in("trl.GMPOConfig", "0.9.6") == ("trl.GRPOConfig",)
    assert found.config_row("trl.GMPOConfig", "beta", "0.9.6") is not None


def test_names_of_a_class_include_those_of_its_base_in_that_release():
    surface = {"trl.GRPOConfig": {"beta": [0, 2]}, "trl.GMPOConfig": {"x": [1, 2]}}
    found = tables(surface=surface, bases=GMPO)
    assert found.names_in("0.10.1", "trl.GMPOConfig") == {"x", "beta"}
    assert found.names_in("0.9.6", "trl.GMPOConfig") == frozenset()


def test_accepted_keywords_are_those_of_the_class_and_of_every_base_in_the_release():
    found = tables(
        surface={
            "trl.SFTConfig": {"packing": [0, 1]},
            "transformers.TrainingArguments": {"seed": [0, 1]},
            "trl.SFTTrainer": {"model": [0, 2]},
        },
        bases={
            "trl.SFTConfig": {"transformers.TrainingArguments": [0, 1]},
            "trl.SFTTrainer": {"transformers.TrainingArguments": [0, 2]},
        },
        closed={"trl.SFTTrainer": [0, 2]},
    )
    assert found.accepted("0.9.6", "trl.SFTConfig") == {"packing", "seed"}
    assert found.accepted("0.10.1", "trl.SFTConfig") == frozenset()
    assert found.accepted("0.10.1", "trl.SFTTrainer") == {"model"}


def test_methods_of_all_trainers_have_their_rows_under_one_of_them():
    found = tables(
        rows={"trl.SFTTrainer.train": [row()], "trl.SFTTrainer.formatting_func": [row()]},
        surface={"trl.SFTTrainer": {"formatting_func": [0, 2]}},
        bases=GMPO,
    )
    assert found.attribute_row("trl.GRPOTrainer", "train").id == "trl.SFTTrainer.train"
    assert found.attribute_row("trl.GRPOTrainer", "formatting_func") is None
    assert found.attribute_row("trl.PPOTrainer", "train") is None


@pytest.mark.parametrize(
    "flag", ["--max-length", "max_length", "--max_length=5", "--no_max_length"]
)
def test_an_option_of_the_command_line_is_a_field_of_a_class_behind_the_command(flag):
    found = tables(
        rows={"trl.SFTConfig.max_length": [row(to="own")]}, commands={"sft": ["trl.SFTConfig"]}
    )
    assert found.flag_row("sft", flag).to == "own"
    assert found.flag_row("dpo", flag) is None
    assert found.flag_row("sft", "--min-length") is None


def test_an_option_of_the_command_line_may_be_inherited():
    found = tables(
        rows={"transformers.TrainingArguments.seed": [row()]}, commands={"sft": ["trl.SFTConfig"]}
    )
    assert found.flag_row("sft", "--seed", "0.9.6").id == "transformers.TrainingArguments.seed"


def test_a_default_is_that_of_the_release():
    found = tables(rows={"trl.C.x": [row(defaults=[("0.9.0", "None"), ("0.16.0", "1024")])]})
    defaults = found.row("trl.C.x")
    assert defaults.default_in("0.8.6") is None
    assert defaults.default_in("0.15.2") == "None"
    assert defaults.default_in("1.0.0") == "1024"


def test_rows_for_a_prefix_are_those_below_it_and_itself():
    found = tables(
        rows={"trl.A": [row()], "trl.A.x": [row(), row(since="1.0.0")], "trl.AB": [row()]}
    )
    assert [item.id for item in found.rows_for("trl.A")] == ["trl.A", "trl.A.x", "trl.A.x"]


def test_the_shipped_tables_answer_the_first_script_anybody_converts():
    shipped = load_tables()
    assert shipped.row("trl.SFTTrainer").fidelity is Fidelity.EXACT
    assert shipped.config_row("trl.SFTConfig", "bf16", "1.16.0").fidelity is Fidelity.DROPPED
    assert shipped.row("trl.DPOTrainer").code == "MM204"


def test_reading_the_tables_needs_neither_yaml_nor_pydantic_nor_torch():
    code = (
        "import sys; from mint_migrate.tables.lookup import load_tables; load_tables().versions;"
        "print(sorted({'yaml', 'pydantic', 'torch', 'libcst'} & set(sys.modules)))"
    )
    root = data_dir("mappings").parent / "migrator"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(root)},
    )
    assert json.loads(done.stdout.replace("'", '"')) == []
