"""`mappings/mint.yaml` states the signatures of the installed client."""

from __future__ import annotations

import ast
import dataclasses
import importlib.metadata
import inspect

import pytest
from mint_migrate.tables.lookup import load_tables

mint = pytest.importorskip("mint")
TABLES = load_tables()


def _resolve(name: str):
    found = mint
    for part in name.split(".")[1:]:
        found = getattr(found, part)
    return found


def _parameters(found) -> dict[str, object]:
    """Return name and default (`...` where required) of what can be passed by name."""
    if inspect.isclass(found) and hasattr(found, "model_fields"):
        return {
            name: ... if field.is_required() else field.get_default(call_default_factory=True)
            for name, field in found.model_fields.items()
        }
    signature = inspect.signature(found.__init__ if inspect.isclass(found) else found)
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {
        name: ... if parameter.default is inspect.Parameter.empty else parameter.default
        for name, parameter in signature.parameters.items()
        if name != "self" and parameter.kind not in kinds
    }


@pytest.mark.parametrize("name", TABLES.target)
def test_a_target_call_has_the_parameters_of_the_client(name):
    found = _resolve(name)
    stated = dict(TABLES.target[name].parameters)
    actual = _parameters(found)
    if name == "mint.ServiceClient":
        # Both are taken by `**kwargs`, which go to the connection.
        stated = {key: value for key, value in stated.items() if key not in ("api_key", "base_url")}
    assert list(stated) == list(actual)
    for key, literal in stated.items():
        if literal is not None:
            assert ast.literal_eval(literal) == actual[key]
        elif actual[key] is not ...:
            assert dataclasses.is_dataclass(found), f"{key} has the default {actual[key]!r}"


def test_the_stated_release_is_the_installed_one():
    assert importlib.metadata.version("mindlab-toolkit") == TABLES.target_release


def test_adam_params_names_all_six_settings():
    assert TABLES.target["mint.types.AdamParams"].names == {
        "learning_rate",
        "beta1",
        "beta2",
        "eps",
        "weight_decay",
        "grad_clip_norm",
    }
