"""Which options of SFT decide how rows are packed and which tokens count."""

from __future__ import annotations

import pytest
from mint_migrate.model.plan import Fidelity
from support.scripts import converted, decision, sft

BASE = 'output_dir="out", save_strategy="no"'
PACKED = f"{BASE}, packing=True"


@pytest.mark.parametrize(
    ("options", "version", "docstring"),
    [
        ("", "1.16.0", "best fit, longest row first"),
        (', packing_strategy="bfd"', "0.24.0", "best fit, longest row first"),
        (', packing_strategy="bfd_split"', "1.16.0", "split into rows of its own"),
        (', packing_strategy="wrapped"', "1.16.0", "joined and cut into sequences"),
        ("", "0.16.1", "joined and cut into sequences"),
    ],
)
def test_rows_are_packed_as_the_release_does(options, version, docstring):
    result = sft(PACKED + options, source_version=version)
    text = converted(result)
    assert docstring in text
    assert "rows = pack_rows(rows, config.max_length)" in text
    assert decision(result, "trl.SFTConfig.packing").fidelity is Fidelity.EXACT


@pytest.mark.parametrize("version", ["0.19.1", "0.20.0", "0.22.2"])
@pytest.mark.parametrize("option", ["packing", "padding_free"])
def test_releases_that_predict_first_tokens_are_said_to_differ(option, version):
    result = sft(f"{BASE}, {option}=True", source_version=version)
    found = decision(result, f"trl.SFTConfig.{option}")
    assert (found.fidelity, found.code) == (Fidelity.APPROXIMATE, "MM214")
    assert "first token of each row" in converted(result)


def test_packs_of_whole_rows_share_a_step():
    text = converted(sft(PACKED))
    assert "            batch = [row for pack in batch for row in pack]\n" in text
    assert "[: config.max_length]" in text


def test_wrapped_rows_are_cut_by_the_packer_alone():
    text = converted(sft(f'{PACKED}, packing_strategy="wrapped"'))
    assert "[: config.max_length]" not in text
    assert "for pack in batch" not in text
    assert "max_length=1024" in text


@pytest.mark.parametrize(
    ("option", "line"),
    [
        ("", "eval_rows = pack_rows(eval_rows, config.max_length)"),
        (", eval_packing=True", "eval_rows = pack_rows(eval_rows, config.max_length)"),
        (", eval_packing=False", "eval_rows = [[row] for row in eval_rows]"),
    ],
)
def test_the_evaluation_is_packed_unless_it_says_not(option, line):
    options = f'{PACKED}, eval_strategy="epoch"{option}'
    text = converted(sft(options, trainer="eval_dataset=dataset,"))
    assert line in text
    assert "build_batch([row for pack in batch for row in pack])" in text


def test_several_processes_pack_other_rows_together():
    result = sft(f"{PACKED}, dataset_num_proc=4")
    found = decision(result, "trl.SFTConfig.dataset_num_proc")
    assert (found.fidelity, found.code) == (Fidelity.APPROXIMATE, "MM214")


@pytest.mark.parametrize(
    ("options", "version", "reason"),
    [
        ("packing=True", "0.12.2", "random order"),
        ("packing=bool(dataset)", "1.16.0", "known at run time"),
        ("eval_packing=True", "1.16.0", "known at run time"),
    ],
)
def test_packing_that_cannot_be_repeated_is_for_a_person(options, version, reason):
    result = sft(f"{BASE}, {options}", source_version=version)
    name = options.partition("=")[0]
    found = decision(result, f"trl.SFTConfig.{name}")
    assert (found.fidelity, found.code) == (Fidelity.MANUAL, "MM214")
    assert reason in found.note
    assert "pack_rows" not in converted(result)
    assert "TODO[mint-migrate MM214]" in converted(result)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ('packing_strategy="mine"', "packing by `mine`"),
        ("max_length=None", "needs `max_length`"),
        ('packing_strategy="wrapped", eval_packing=False, eval_strategy="epoch"', "not converted"),
    ],
)
def test_packing_that_is_not_known_stops_the_conversion(options, reason):
    result = sft(f"{PACKED}, {options}", trainer="eval_dataset=dataset,")
    assert result.text is None
    assert reason in result.notices[0]


@pytest.mark.parametrize(
    "options",
    ["packing=False", "packing=None", 'packing_strategy="wrapped"', "padding_free=True"],
)
def test_without_packing_nothing_is_packed(options):
    result = sft(f"{BASE}, {options}")
    text = converted(result)
    assert "pack" not in text.split('"""', 2)[2]
    assert decision(result, f"trl.SFTConfig.{options.partition('=')[0]}").fidelity is Fidelity.EXACT


@pytest.mark.parametrize(
    ("version", "outcome"), [("1.0.0", Fidelity.EXACT), ("1.16.0", Fidelity.APPROXIMATE)]
)
def test_turns_of_the_assistant_are_marked_by_the_template(version, outcome):
    result = sft(f"{BASE}, assistant_only_loss=True", source_version=version)
    assert "return_assistant_tokens_mask=True" in converted(result)
    assert decision(result, "trl.SFTConfig.assistant_only_loss").fidelity is outcome


def test_turns_of_the_assistant_need_conversations():
    options = f'{BASE}, assistant_only_loss=True, dataset_text_field="text"'
    result = sft(options)
    assert result.text is None
    assert "needs conversations" in result.notices[0]


def test_all_turns_count_where_the_option_is_off():
    result = sft(f"{BASE}, assistant_only_loss=False")
    assert "assistant_masks" not in converted(result)
    found = decision(result, "trl.SFTConfig.assistant_only_loss")
    assert found.fidelity is Fidelity.EXACT
