"""The code in the answers: it compiles, and every MinT call in it is one that the client has."""

from __future__ import annotations

import ast
import inspect
import shutil
import subprocess
import textwrap

import mint
import pytest
from mint_migrate.model.source import Options, Source
from mint_migrate.pipeline import migrate_source
from mint_migrate.tables.lookup import load_tables
from tinker.lib.public_interfaces.rest_client import RestClient

TABLES = load_tables()
CONCEPTS = list(TABLES.concepts.values())
PYTHON = [("after", each) for each in CONCEPTS]
PYTHON += [("before", each) for each in CONCEPTS if each.language == "python"]

MAKERS = {
    "create_lora_training_client": "TrainingClient",
    "create_sampling_client": "SamplingClient",
    "save_weights_and_get_sampling_client": "SamplingClient",
    "create_rest_client": "RestClient",
}
"""Calls whose value is a client."""


def class_named(name: str):
    # `mint` does not re-export this one.
    return RestClient if name == "RestClient" else getattr(mint, name)


def class_of(node: ast.expr) -> str | None:
    """Return the client class of an expression: by the name of a variable, or by what makes it."""
    if isinstance(node, ast.Name) and node.id.endswith("_client"):
        known = {"service_client": "ServiceClient", "training_client": "TrainingClient"}
        known["rest_client"] = "RestClient"
        return known.get(node.id, "SamplingClient")
    if isinstance(node, ast.Call):
        text = ast.unparse(node.func)
        if text in ("mint.ServiceClient", "tinker.ServiceClient"):
            return "ServiceClient"
        return MAKERS.get(text.rpartition(".")[2])
    return None


def mint_calls(tree: ast.AST) -> list[tuple[str, ast.Call]]:
    """Return the qualified name of every call of the client in *tree*, and the call."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        text = ast.unparse(node.func)
        if text.startswith("mint.mint."):
            found.append((text, node))
        elif text.startswith("types."):
            found.append((f"mint.{text}", node))
        elif text in ("mint.ServiceClient", "tinker.ServiceClient"):
            found.append(("mint.ServiceClient", node))
        elif isinstance(node.func, ast.Attribute) and (owner := class_of(node.func.value)):
            found.append((f"mint.{owner}.{node.func.attr}", node))
    return found


def resolve(name: str):
    owner, _, attribute = name.removeprefix("mint.").rpartition(".")
    if owner in ("ServiceClient", "TrainingClient", "SamplingClient", "RestClient"):
        return getattr(class_named(owner), attribute)
    found = mint
    for part in name.split(".")[1:]:
        found = getattr(found, part)
    return found


def check_call(name: str, call: ast.Call) -> None:
    """Bind the arguments of *call* to the client's signature, and hold them against the tables."""
    target = resolve(name)
    method = inspect.isfunction(target) and "self" in inspect.signature(target).parameters
    keywords = {each.arg: None for each in call.keywords if each.arg is not None}
    if not isinstance(target, type) or not hasattr(target, "model_fields"):
        inspect.signature(target).bind(*([None] * method), *call.args, **keywords)
    else:
        assert set(keywords) <= set(target.model_fields)
    if name in TABLES.target:
        assert set(keywords) <= TABLES.target[name].names or name == "mint.ServiceClient"


@pytest.mark.parametrize(("part", "concept"), PYTHON, ids=lambda each: getattr(each, "id", each))
def test_the_code_compiles(part, concept):
    compile(getattr(concept, part), f"{concept.id}.{part}", "exec")


@pytest.mark.parametrize("concept", CONCEPTS, ids=lambda each: each.id)
def test_the_calls_exist_with_these_arguments(concept):
    for name, call in mint_calls(ast.parse(concept.after)):
        check_call(name, call)


@pytest.mark.parametrize(
    "wrong",
    [
        "training_client.forward_backwards(data, loss_fn='ppo')",
        "training_client.forward_backward(data, loss='ppo')",
        "types.SamplingParams(stop_token_ids=[1])",
        "types.AdamParams(betas=(0.9, 0.999))",
        "mint.ServiceClient().create_lora_training_client(rank=8)",
        "sampling_client.sample(prompt=prompt)",
        "mint.mint.interpolate_checkpoints(service_client, paths=paths, coefficients=[0.5, 0.5])",
        "mint.mint.ReverseKLDatum(student_tokens=tokens)",
    ],
)
def test_the_check_finds_a_wrong_call(wrong):
    ((name, call),) = [
        (name, call) for name, call in mint_calls(ast.parse(wrong)) if name != "mint.ServiceClient"
    ]
    with pytest.raises((AssertionError, AttributeError, TypeError)):
        check_call(name, call)


def test_the_check_sees_most_examples():
    seen = [each.id for each in CONCEPTS if mint_calls(ast.parse(each.after))]
    assert len(seen) > 0.7 * len(CONCEPTS)


@pytest.mark.parametrize("concept", CONCEPTS, ids=lambda each: each.id)
def test_optimizer_settings_and_sampling_are_written_as_the_pitfalls_say(concept):
    for name, call in mint_calls(ast.parse(concept.after)):
        keywords = {each.arg for each in call.keywords}
        if name == "mint.types.AdamParams":
            assert keywords == set(mint.types.AdamParams.model_fields)
        if name == "mint.TrainingClient.save_weights_and_get_sampling_client":
            assert "name" not in keywords
        if name == "mint.types.Datum":
            assert keywords == {"model_input", "loss_fn_inputs"}


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    "concept", [each for each in CONCEPTS if each.language == "bash"], ids=lambda each: each.id
)
def test_a_launcher_parses(concept):
    subprocess.run(["bash", "-n"], input=concept.before, text=True, check=True)


def test_the_supervised_example_is_what_the_converter_writes():
    concept = TABLES.concepts["trl.sft_trainer"]
    source = Source(
        path="train.py", content=concept.before.encode(), text=concept.before, newline="\n"
    )
    written = migrate_source(source, Options(), TABLES).text
    lines = [line.strip() for line in written.split("\n")]
    for node in ast.parse(concept.after).body:
        block = textwrap.dedent(ast.get_source_segment(concept.after, node)).split("\n")
        wanted = [line.strip() for line in block]
        starts = [i for i, line in enumerate(lines) if line == wanted[0]]
        assert any(lines[i : i + len(wanted)] == wanted for i in starts), "\n".join(block)
