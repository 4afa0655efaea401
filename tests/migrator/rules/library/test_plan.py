"""What becomes of names of verl in a script that keeps its own code."""

from __future__ import annotations

from textwrap import dedent

import pytest
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.plan import Fidelity
from support.scripts import converted, outcome
from support.walker import found


def migrate(text: str) -> Migrated:
    source = dedent(text)
    result = outcome(source, path="helper.py")
    assert isinstance(result, Migrated), result
    ours = sorted(
        (item.found.kind.value, item.found.span.line, item.found.span.column)
        for item in result.decisions
    )
    assert ours == sorted((item.kind, item.line, item.column) for item in found(source))
    return result


def manual(result: Migrated) -> list[tuple[str, str | None]]:
    return [
        (item.found.name, item.code)
        for item in result.decisions
        if item.fidelity is Fidelity.MANUAL
    ]


def test_a_name_of_the_users_is_not_taken() -> None:
    text = converted(
        migrate(
            """
            from verl import DataProto


            class Tensors:
                pass


            def rows(batch: DataProto):
                return batch.repeat(2)
            """
        )
    )
    assert "class verl_Tensors(dict" in text
    assert "class Tensors:\n    pass" in text


def test_what_has_no_counterpart_stays_under_a_todo() -> None:
    result = migrate(
        """
        from verl import DataProto
        from verl.utils.debug import marked_timer


        def rows(batch: DataProto, timings):
            with marked_timer("repeat", timings):
                return batch.repeat(2)
        """
    )
    assert {name for name, _ in manual(result)} >= {"verl.utils.debug.marked_timer"}
    text = converted(result)
    assert "from verl.utils.debug import marked_timer\n" in text
    assert "from verl import DataProto" not in text
    assert "TODO[mint-migrate MM290]" in text


def test_a_module_called_as_one_that_the_result_needs_stops_it() -> None:
    result = migrate(
        """
        import types

        from verl import DataProto


        def sample(wg, batch: DataProto):
            return wg.generate_sequences(batch), types.SimpleNamespace()
        """
    )
    assert result.text is None
    assert {code for _, code in manual(result)} == {"MM230"}


def test_an_annotation_of_a_worker_group_is_the_clients() -> None:
    text = converted(
        migrate(
            """
            from verl import DataProto
            from verl.single_controller.ray import RayWorkerGroup


            def sample(wg: RayWorkerGroup, batch: DataProto) -> DataProto:
                return wg.generate_sequences(batch)
            """
        )
    )
    assert "def sample(wg: PolicyClients, batch: DataProto) -> DataProto:" in text
    assert "RayWorkerGroup" not in text


@pytest.mark.parametrize(
    ("use", "code"),
    [
        ("batch.frobnicate()", "MM290"),
        ("batch.batch.memmap()", "MM290"),
        ("batch.to_tensordict()", "MM363"),
        ("DataProto.from_dict({}, num_batch_dims=2)", "MM363"),
    ],
)
def test_what_a_batch_cannot_do_here_is_for_a_person(use: str, code: str) -> None:
    result = migrate(
        f"from verl import DataProto\n\n\ndef f(batch: DataProto):\n    return {use}\n"
    )
    assert {found for _, found in manual(result)} == {code}
    assert f"TODO[mint-migrate {code}]" in converted(result)


def test_an_accepted_todo_is_not_written() -> None:
    result = migrate(
        """
        from verl import DataProto


        def f(batch: DataProto):
            return batch.to_tensordict()  # mint-migrate: ignore[MM363] only in the notebook
        """
    )
    assert "TODO" not in converted(result)


def test_batches_beside_a_trainer_of_trl_are_for_a_person() -> None:
    result = migrate(
        """
        from datasets import load_dataset
        from trl import SFTConfig, SFTTrainer
        from verl import DataProto


        def rows(batch: DataProto):
            return batch.batch["ids"]


        dataset = load_dataset("acme/chats", split="train")
        trainer = SFTTrainer("Qwen/Qwen3-0.6B", SFTConfig(), dataset)
        trainer.train()
        """
    )
    assert result.framework == "trl"
    assert ("verl.DataProto.batch", "MM230") in manual(result)


def test_options_that_only_the_running_script_knows_are_named() -> None:
    result = migrate(
        """
        from omegaconf import OmegaConf
        from verl.trainer.main_ppo import run_ppo

        run_ppo(OmegaConf.create({"data": {"train_files": PATH}, "trainer": {"nnodes": 1}}))
        """
    )
    names = [item.found.name for item in result.decisions if item.found.kind == "config_key"]
    assert names == ["verl.config.data.train_files", "verl.config.trainer.nnodes"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("def compute_score(data_source, solution_str, ground_truth): ...", "MM360"),
        ("async def my_score(solution_str, ground_truth, **kwargs): ...", "MM360"),
        ("def score_all(data_sources, solution_strs, ground_truths): ...", "MM360"),
        ("def reward_func(queries, prompts, labels): ...", "MM440"),
        ("async def step(observation, action, label, **kw): ...", "MM440"),
        ("class AgentExecutor:\n    ...", "MM440"),
        ("def compute_score(a, b): ...", "MM107"),
        ("def step(x): ...", "MM107"),
    ],
)
def test_a_file_that_a_launcher_calls_is_known_by_its_parameters(text: str, code: str) -> None:
    assert getattr(outcome(f"{text}\n"), "code", None) == code


def test_a_branch_that_begins_with_elif_is_read_as_one() -> None:
    result = migrate(
        """
        from transformers import AutoTokenizer
        from verl.utils.device import get_device_name
        from verl.utils.fsdp_utils import apply_fsdp2

        def size(batch):
            if get_device_name() == "cuda":
                from flash_attn.bert_padding import unpad_input
            elif get_device_name() == "npu":
                from verl.utils.attention_utils import unpad_input
            apply_fsdp2(batch)
            return unpad_input(AutoTokenizer.from_pretrained("a"), device=get_device_name())
        """
    )
    assert ("verl.utils.device.get_device_name", "MM364") in manual(result)
