"""`explain` and `mappings`, the renderings, and what the command line prints."""

from __future__ import annotations

import json
import re

import pytest
from mint_migrate import cli
from mint_migrate.assistant import commands
from mint_migrate.assistant.as_json import as_json
from mint_migrate.assistant.as_markdown import as_markdown
from mint_migrate.assistant.records import Source
from mint_migrate.assistant.render import as_text
from mint_migrate.tables.lookup import load_tables

NARROW = 80


@pytest.fixture(scope="module")
def tables():
    return load_tables()


def of_trl(version: str | None) -> Source | None:
    """Return the release of TRL, None for none."""
    return Source(package="trl", version=version) if version is not None else None


def run(capsys, *arguments: str) -> tuple[int, str]:
    """Run the command line; return its exit status and what it wrote to stdout."""
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    return stop.value.code or 0, capsys.readouterr().out


@pytest.mark.parametrize("code", load_tables().codes)
def test_every_code_has_a_page(code, tables):
    record, status = commands.explain(code, tables)
    rule = tables.rule(code)
    text = " ".join(as_text(record).split())
    assert status == 0
    for part in (rule.title, rule.finds, rule.lost, rule.way_out):
        assert " ".join(part.split()) in text


@pytest.mark.parametrize(
    ("code", "near"), [("MM206x", ["MM206"]), ("mm0205", ["MM205"]), ("MM299", []), ("", [])]
)
def test_an_unknown_code_gets_the_nearest_ones(code, near, tables):
    record, status = commands.explain(code, tables)
    named = [each.id for each in record.nearest]
    assert status == 1
    assert named
    assert set(near) <= set(named)


def test_a_code_may_be_written_small(tables):
    assert commands.explain("mm205", tables)[1] == 0


def test_all_tables_are_listed_with_the_number_of_their_names(tables):
    record, status = commands.mappings(None, tables)
    groups = {group.name: dict(group.outcomes) for group in record.groups}
    fields = {row.id for row in tables.rows_for("trl.SFTConfig")} - {"trl.SFTConfig"}
    assert status == 0
    assert sum(groups["trl.SFTConfig"].values()) == len(fields)
    assert sum(sum(each.values()) for each in groups.values()) == len({row.id for row in tables})


def test_a_class_gets_all_its_rows(tables):
    record, status = commands.mappings("trl.SFTConfig", tables)
    assert status == 0
    ids = dict.fromkeys(row.id for row in tables.rows_for("trl.SFTConfig"))
    assert [row.id for row in record.rows] == sorted(ids)
    assert record.rows[0].id == "trl.SFTConfig"
    assert record.bases == ("transformers.TrainingArguments",)
    assert "Inherits the rows of transformers.TrainingArguments" in as_text(record)


@pytest.mark.parametrize(
    ("symbol", "wanted"),
    [
        ("trl.SFTConfig.max_length", "trl.SFTConfig.max_length"),
        ("trl.trainer.sft_config.SFTConfig.max_length", "trl.SFTConfig.max_length"),
        ("init_lora_weights", "peft.LoraConfig.init_lora_weights"),
        ("INIT_LORA_WEIGHTS", "peft.LoraConfig.init_lora_weights"),
    ],
)
def test_a_single_name_gets_its_entry(symbol, wanted, tables):
    record, status = commands.mappings(symbol, tables)
    assert status == 0
    assert [entry.id for entry in record.entries] == [wanted]


def test_a_bare_name_gets_the_rows_of_all_owners(tables):
    record, status = commands.mappings("bf16", tables)
    assert status == 0
    assert {"trl.SFTConfig.bf16", "transformers.TrainingArguments.bf16"} <= {
        row.id for row in record.rows
    }


def test_an_unknown_name_gets_names_spelled_alike(tables):
    record, status = commands.mappings("gradient_acumulation_steps", tables)
    assert status == 1
    assert "transformers.TrainingArguments.gradient_accumulation_steps" in [
        near.id for near in record.nearest
    ]


@pytest.mark.parametrize(
    ("symbol", "wanted", "via"),
    [
        ("trl.GMPOConfig.beta", "trl.GRPOConfig.beta", "`trl.GMPOConfig` inherits it."),
        (
            "trl.DPOConfig.seed",
            "transformers.TrainingArguments.seed",
            "`trl.DPOConfig` inherits it.",
        ),
        ("trl.KTOTrainer.train", "trl.SFTTrainer.train", "`trl.KTOTrainer` inherits it."),
        ("trl dpo --beta", "trl.DPOConfig.beta", "The option `--beta` of `trl dpo`."),
        (
            "trl sft max-length",
            "trl.SFTConfig.max_length",
            "The option `--max-length` of `trl sft`.",
        ),
    ],
)
def test_an_inherited_name_and_an_option_lead_to_the_row_that_decides_them(
    symbol, wanted, via, tables
):
    record, status = commands.mappings(symbol, tables)
    assert status == 0
    assert [entry.id for entry in record.entries] == [wanted]
    assert via in as_text(record, width=200)


@pytest.mark.parametrize(
    ("version", "status", "words"),
    [
        ("0.15.2", 0, ["`0.04` in 0.15.2"]),
        ("1.16.0", 0, ["`0.0` in 1.16.0"]),
        (None, 0, ["`0.04` from 0.14.0, `0.0` from 0.19.0", "from 0.14.0"]),
        ("0.9.6", 1, ["In trl 0.9.6: there is no such name"]),
    ],
)
def test_a_release_decides_which_default_is_told(version, status, words, tables):
    record, found = commands.mappings("trl.GRPOConfig.beta", tables, of_trl(version))
    assert found == status
    assert [word for word in words if word not in as_text(record, width=200)] == []


def test_a_class_shows_only_the_names_of_the_release(tables):
    record, status = commands.mappings("trl.GRPOConfig", tables, of_trl("0.14.0"))
    names = {row.id.rpartition(".")[2] for row in record.rows}
    assert status == 0
    assert "beta" in names
    assert "epsilon" not in names
    assert commands.mappings("trl.GRPOConfig", tables, of_trl("0.9.6"))[1] == 1


def test_an_inherited_row_of_transformers_follows_the_release_of_the_time(tables):
    record, status = commands.mappings("trl.DPOConfig.warmup_ratio", tables, of_trl("0.9.6"))
    assert status == 0
    assert "Default: `0.0` in 4." in as_text(record, width=200)


def test_a_field_of_a_class_that_is_left_to_a_person_says_so(tables):
    shown = as_text(commands.mappings("trl.CPOConfig.simpo_gamma", tables)[0], width=200)
    left = tables.row("trl.CPOConfig").transform == "stop"
    assert ("is left to a person" in shown) is left
    sft = as_text(commands.mappings("trl.SFTConfig.max_length", tables)[0], width=200)
    assert "is left to a person" not in sft


@pytest.mark.parametrize(
    ("symbol", "first"),
    [
        ("trl.GRPOConfig.betta", "trl.GRPOConfig.beta"),
        ("trl.GMPOConfig.epsilon_hi", "trl.GRPOConfig.epsilon_high"),
        ("trl.GRPOConfg", "trl.GRPOConfig"),
    ],
)
def test_the_nearest_names_are_first_those_of_the_same_class(symbol, first, tables):
    record, status = commands.mappings(symbol, tables)
    assert status == 1
    assert record.nearest[0].id == first


def test_an_option_that_no_class_of_the_command_has_is_not_found(tables):
    assert commands.mappings("trl dpo --num-generations", tables)[1] == 1
    assert commands.mappings("trl nothing --beta", tables)[1] == 1


@pytest.mark.parametrize("question", ["verl", "how do I do DPO", "max_seq_length", "keras", ""])
def test_text_fits_a_narrow_terminal_except_code_and_links(question, tables):
    record, _ = commands.ask(question, tables)
    wide = [line for line in as_text(record, width=NARROW).split("\n") if len(line) > NARROW]
    assert all(line.startswith(("    ", "  https://")) for line in wide)


def test_code_is_shown_as_it_is(tables):
    record, _ = commands.ask("how do I do DPO", tables)
    shown = as_text(record, width=40)
    for line in record.entries[0].after.rstrip("\n").split("\n"):
        assert f"    {line}".rstrip() in shown.split("\n")


def test_an_answer_shows_all_its_parts(tables):
    record, _ = commands.ask("what replaces DataProto", tables)
    entry = record.entries[0]
    parts = [entry.mint, *entry.differences, *entry.pitfalls, *entry.sources]
    parts += [near.id for near in entry.see]
    flat = " ".join(as_text(record, width=200).split())
    assert [part for part in parts if part not in flat] == []
    assert [part for part in parts if part not in as_markdown(record)] == []


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("SFTTrainer", "converts this"),
        ("DPOTrainer", "converts this"),
        ("PPOTrainer", "only with a flag"),
        ("DataProto", "`mint-migrate run.sh` converts this in a launcher"),
        ("CriticWorker", "refuses this"),
    ],
)
def test_an_answer_says_what_the_converter_does_today(question, words, tables):
    record, _ = commands.ask(question, tables)
    assert words in " ".join(as_text(record).split())
    assert words in as_markdown(record)


@pytest.mark.parametrize("framework", ["trl", "verl", "openrlhf", "torch", "tinker"])
def test_a_guide_names_every_mapping_difference_loss_and_pitfall(framework, tables):
    record, _ = commands.ask(framework, tables)
    text, markdown = " ".join(as_text(record).split()), as_markdown(record)
    for concept in tables.concepts.values():
        if concept.kind in ("difference", "loss", "pitfall", "limit"):
            assert concept.id in text
            assert concept.id in markdown
    assert markdown.count("\n| `") == len(record.guide.concepts)


@pytest.mark.parametrize("question", ["verl", "how do I do DPO", "MM205", "keras", ""])
def test_json_holds_the_whole_record(question, tables):
    record, _ = commands.ask(question, tables)
    content = json.loads(as_json(record))
    assert content["version"] == 1
    assert content["kind"] == record.kind
    assert [entry["id"] for entry in content["entries"]] == [each.id for each in record.entries]
    if record.entries:
        assert content["entries"][0]["after"] == record.entries[0].after


def test_json_of_a_listing_can_be_read_by_name(tables):
    content = json.loads(as_json(commands.mappings("trl.SFTConfig", tables)[0]))
    rows = {row["id"]: row for row in content["rows"]}
    assert content["kind"] == "rows"
    assert rows["trl.SFTConfig.max_length"]["fidelity"] == "exact"


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (("ask", "verl"), 0, "From verl to MinT"),
        (("ask", "how", "do", "I", "do", "DPO"), 0, "forward_backward_custom"),
        (("ask", "how do I bake bread"), 1, "no answer"),
        (("ask", ""), 0, "mint-migrate ask"),
        (("explain", "MM205"), 0, "MM205"),
        (("explain", "MM999"), 1, "Nearest"),
        (("mappings",), 0, "trl.SFTConfig"),
        (("mappings", "trl.SFTConfig"), 0, "max_length"),
        (("mappings", "nothing_like_it_xyz"), 1, "No row"),
        (("ask", "DataProto", "--format", "json"), 0, '"verl.data_proto"'),
        (("mappings", "--format", "json"), 0, '"tables"'),
    ],
)
def test_the_command_line_prints_and_ends_with_the_status(arguments, status, word, capsys):
    code, printed = run(capsys, *arguments)
    assert code == status
    assert word in printed


def test_output_that_is_not_a_terminal_has_no_escapes_and_no_trailing_blanks(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(NARROW))
    _, printed = run(capsys, "ask", "verl")
    assert "\x1b" not in printed
    assert re.search(r" +$", printed, re.MULTILINE) is None
