"""The table of concepts: what it must hold, and what its schema rejects."""

from __future__ import annotations

import pytest
from mint_migrate.tables.compile import main
from mint_migrate.tables.concept_schema import ConceptEntry
from mint_migrate.tables.concepts import FRAMEWORKS, KINDS
from mint_migrate.tables.load import TableError, load_folder
from mint_migrate.tables.lookup import load_tables
from pydantic import ValidationError

SEED_NAMES = {
    "verl": [
        "RolloutWorker",
        "ActorRolloutRefWorker",
        "RewardManager",
        "PPOTrainer",
        "DataProto",
        "vllm",
        "fsdp",
        "megatron",
    ],
    "trl": ["SFTTrainer", "PPOTrainer", "DPOTrainer", "AutoModelForCausalLM", "Dataset"],
}
LOSSES = ("cross_entropy", "importance_sampling", "ppo", "cispo", "dro", "reverse_kl")
ENTRY = {
    "id": "verl.thing",
    "framework": "verl",
    "kind": "mapping",
    "names": ["Thing"],
    "keywords": ["thing"],
    "title": "A thing",
    "mint": "nothing",
    "explanation": "It is a thing.",
    "before": "x = 1",
    "after": "y = 2",
    "status": "planned",
    "sources": ["https://pypi.org/project/verl/0.5.0/"],
}


@pytest.fixture(scope="module")
def tables():
    return load_tables()


@pytest.mark.parametrize(
    ("framework", "name"), [(key, name) for key, names in SEED_NAMES.items() for name in names]
)
def test_every_row_of_the_concept_tables_has_a_mapping(framework, name, tables):
    owners = [each for each in tables.concepts.values() if name in each.names]
    assert any(each.framework == framework and each.kind == "mapping" for each in owners)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_of_the_client_is_explained(loss, tables):
    concept = tables.concepts[f"mint.{loss}"]
    assert concept.kind == "loss"
    assert "sum" in concept.title
    assert "target_tokens" in concept.explanation


def test_every_field_is_one_of_those_the_program_knows(tables):
    assert {each.framework for each in tables.concepts.values()} == set(FRAMEWORKS)
    assert {each.kind for each in tables.concepts.values()} == set(KINDS)


@pytest.mark.parametrize("framework", ["trl", "verl", "openrlhf", "torch", "tinker"])
def test_a_guide_shows_an_example_of_its_framework(framework, tables):
    guide = tables.guides[framework]
    assert tables.concepts[guide.example].framework == framework


def test_only_what_is_converted_says_so(tables):
    trainers = [
        each
        for each in tables.concepts.values()
        if each.framework != "general" and each.status == "converted"
    ]
    assert {each.framework for each in trainers} == {"trl", "verl", "openrlhf"}
    for concept in trainers:
        row = tables.row(concept.names[1])
        assert row is None or row.fidelity != "manual"


def test_what_the_rows_leave_to_a_person_is_not_called_converted(tables):
    for concept in tables.concepts.values():
        rows = [tables.row(name) for name in concept.names if name.startswith("trl.")]
        if concept.framework == "trl" and rows and all(row.fidelity == "manual" for row in rows):
            assert concept.status in ("on_request", "planned", "refused")


def test_the_compiled_index_is_current():
    assert main(["--check"]) == 0


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"after": "def broken(:"}, "does not parse"),
        ({"before": "x ="}, "does not parse"),
        ({"status": ""}, "needs a status"),
        ({"id": "trl.thing"}, "starts with"),
        ({"sources": []}, "at least 1"),
        ({"surprise": 1}, "Extra inputs"),
        ({"status": "perhaps"}, "converted"),
    ],
)
def test_a_faulty_entry_is_rejected(change, word):
    ConceptEntry.model_validate(ENTRY)
    with pytest.raises(ValidationError, match=word):
        ConceptEntry.model_validate(ENTRY | change)


def test_a_launcher_is_not_parsed_as_python():
    entry = ENTRY | {"language": "bash", "before": "python -m verl --x=1"}
    assert ConceptEntry.model_validate(entry).language == "bash"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("sources: ['https://github.com/x/y/blob/main/z.py']", "not pinned"),
        ("see: [verl.other]", "verl.other"),
    ],
)
def test_a_faulty_table_names_the_fault(text, word, tmp_path):
    folder = tmp_path / "mappings"
    folder.mkdir()
    entry = "\n".join(f"    {key}: {value!r}" for key, value in ENTRY.items() if key != text[:7])
    (folder / "concepts.yaml").write_text(
        f"guides: []\nconcepts:\n  -\n{entry}\n    {text}\n", encoding="utf-8"
    )
    with pytest.raises(TableError, match=word):
        load_folder(folder)
