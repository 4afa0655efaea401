"""What the harness does to an original, on the real libraries and a tiny model, in this process."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from mint_migrate.parity.children import scratch_copy
from mint_migrate.parity.harness.spec import ChildSpec, read_spec
from mint_migrate.parity.verify import target_rank

HARNESS_DRIVER = """
import json, sys
from mint_migrate.parity.harness.__main__ import main
sys.exit(main(sys.argv[1]))
"""


@pytest.mark.parametrize(
    ("fields", "departure"),
    [
        ({}, None),
        ({"r": 4, "lora_alpha": 64, "target_modules": ["q_proj", "v_proj"]}, None),
        ({"lora_dropout": 0.1, "task_type": "CAUSAL_LM", "inference_mode": False}, None),
        ({"init_lora_weights": "gaussian"}, None),
        ({"use_dora": True}, "use_dora=True"),
        ({"use_rslora": True}, "use_rslora=True"),
        ({"bias": "all"}, "bias='all'"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save=['lm_head']"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern={'q_proj': 2}"),
        ({"target_modules": ["q_proj", "lm_head"]}, "target_modules with the head"),
    ],
)
def test_only_plain_lora_is_kept(fields, departure):
    peft = pytest.importorskip("peft")
    from mint_migrate.parity.harness.lora import departures

    found = departures(peft.LoraConfig(**({"target_modules": "all-linear"} | fields)))
    if departure is None:
        assert found == ()
    else:
        assert len(found) == 1
        assert found[0].startswith(departure)


def test_another_kind_of_adapter_is_not_plain():
    peft = pytest.importorskip("peft")
    from mint_migrate.parity.harness.lora import departures

    assert departures(peft.IA3Config(target_modules=["k_proj"], feedforward_modules=[])) == (
        "IA3Config",
    )


@pytest.mark.parametrize(
    ("source", "rank"),
    [
        ("client.create_lora_training_client(base_model='a/b', rank=8)", 8),
        ("R = 2 * 8\nclient.create_lora_training_client(base_model='a/b', rank=R)", 16),
        ("c = SimpleNamespace(lora_rank=4)\nclient.create(rank=c.lora_rank)", 4),
        ("client.create_lora_training_client(base_model='a/b')", 32),
    ],
)
def test_rank_of_a_converted_script_is_read_from_its_text(source, rank):
    assert target_rank(source) == rank


def test_specification_survives_its_file(tmp_path):
    spec = ChildSpec(
        script="s.py", args=("--a", "b c"), output="out", num_steps=3, is_original=True, lora_rank=4
    )
    spec.write(tmp_path / "spec.json")
    assert read_spec(tmp_path / "spec.json") == spec


def test_scratch_copy_leaves_out_environments_earlier_runs_and_links_large_files(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("mint_migrate.parity.children.MAX_COPIED_BYTES", 10)
    folder = tmp_path / "project"
    wanted = ["train.py", "data/rows.jsonl", "data/large.bin"]
    unwanted = [
        ".git/config",
        ".venv/pyvenv.cfg",
        "out/metrics.jsonl",
        "trl-out/checkpoint-5/trainer_state.json",
    ]
    for path in wanted + unwanted:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("x" if "large" not in path else "x" * 11)
    scratch_copy(folder, tmp_path / "copy")
    found = {
        str(file.relative_to(tmp_path / "copy"))
        for file in (tmp_path / "copy").rglob("*")
        if not file.is_dir()
    }
    assert found == set(wanted)
    assert (tmp_path / "copy" / "data" / "large.bin").is_symlink()
    assert not (tmp_path / "copy" / "train.py").is_symlink()


ORIGINAL = '''
"""Everything a machine without a GPU cannot do, and an absolute output folder."""
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, TrainerCallback
from trl import SFTConfig, SFTTrainer

class Watch(TrainerCallback):
    def on_train_begin(self, args, state, control, model=None, **kwargs):
        import json
        print("SEEN " + json.dumps({{
            "dtypes": sorted({{str(p.dtype) for p in model.parameters()}}),
            "devices": sorted({{str(p.device) for p in model.parameters()}}),
            "dropout": max([m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)] + [0]),
            "bf16": args.bf16, "report_to": args.report_to, "output_dir": args.output_dir,
            "max_steps": args.max_steps, "optim": str(args.optim),
            "batch": args.per_device_train_batch_size,
        }}), flush=True)

model = AutoModelForCausalLM.from_pretrained(
    {model!r}, torch_dtype=torch.bfloat16, device_map="auto",
    attn_implementation="flash_attention_2",
    quantization_config=BitsAndBytesConfig(load_in_4bit=True),
)
rows = [{{"text": "word " * (3 + index % 7)}} for index in range(30)]
trainer = SFTTrainer(
    model=model,
    args=SFTConfig(
        output_dir="/nowhere/out", bf16=True, optim="paged_adamw_8bit", report_to="wandb",
        per_device_train_batch_size=2, gradient_accumulation_steps=2, learning_rate=1e-3,
        num_train_epochs={epochs}, warmup_steps=2, max_grad_norm={max_grad_norm},
        save_strategy="no",
    ),
    train_dataset=Dataset.from_list(rows),
    peft_config={peft_config},
    callbacks=[Watch()],
)
try:
    trainer.train()
except Exception:
    print("CAUGHT")
print("AFTER TRAINING")
'''
PLAIN = "LoraConfig(r=4, lora_alpha=8, lora_dropout=0.3, target_modules=['q_proj'])"


def run_original(folder: Path, num_steps: int = 4, **values: object):
    """Run an original through the harness as a comparison does; return process and output."""
    import os
    import subprocess

    from support.tiny_folder import tiny_folder

    script, output = folder / "train.py", folder / "output"
    output.mkdir()
    settings = {"epochs": 3, "max_grad_norm": 0.1, "peft_config": PLAIN} | values
    script.write_text(ORIGINAL.format(model=str(tiny_folder()), **settings))
    spec = ChildSpec(
        script=str(script), args=(), output=str(output), num_steps=num_steps, is_original=True
    )
    spec.write(folder / "spec.json")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment |= {"HF_HOME": str(folder / "hf"), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", HARNESS_DRIVER, str(folder / "spec.json")],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done, output


def lines(output: Path) -> list[dict]:
    """Return the recorded steps."""
    return [json.loads(line) for line in (output / "record.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Return what one original left behind, stopped before its end."""
    pytest.importorskip("trl")
    return run_original(tmp_path_factory.mktemp("plain"))


@pytest.mark.parity
def test_overrides_are_in_place_and_the_rest_is_the_script_s(plain):
    done, output = plain
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.split("SEEN ")[1].splitlines()[0])
    assert seen == {
        "dtypes": ["torch.float32"],
        "devices": ["cpu"],
        "dropout": 0,
        "bf16": False,
        "report_to": [],
        "output_dir": str(output / "out"),
        "max_steps": -1,
        "optim": "OptimizerNames.ADAMW_TORCH",
        "batch": 2,
    }


@pytest.mark.parity
def test_steps_are_recorded_unrounded_and_training_stops_without_running_on(plain):
    done, output = plain
    steps = lines(output)
    assert (output / "ending.txt").read_text() == "reached"
    assert [step["step"] for step in steps] == [0, 1, 2, 3]
    assert [step["num_rows"] for step in steps] == [4, 4, 4, 4]
    # 30 rows in windows of 4 over 3 epochs are 24 steps; warm-up 2, then linear to 0.
    assert [step["learning_rate"] for step in steps] == pytest.approx(
        [0.0, 5e-4, 1e-3, 1e-3 * 21 / 22], rel=1e-12
    )
    assert all(step["grad_norm"] > 0.1 for step in steps), "the norm is the one before clipping"
    assert "AFTER TRAINING" not in done.stdout
    assert "CAUGHT" not in done.stdout


@pytest.mark.parity
def test_adapter_is_exported_as_it_is_before_the_first_step(plain):
    from safetensors.torch import load_file

    _done, output = plain
    tensors = load_file(output / "adapter" / "adapter_model.safetensors")
    config = json.loads((output / "adapter" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["target_modules"]) == (4, 8, ["q_proj"])
    assert all("q_proj" in name for name in tensors)
    assert all(bool((tensor != 0).any()) == ("lora_A" in name) for name, tensor in tensors.items())
    assert not (output / "aligned.txt").exists()


@pytest.mark.parity
def test_training_that_ends_by_itself_says_so(tmp_path):
    done, output = run_original(tmp_path, num_steps=20, epochs=1, max_grad_norm=0)
    assert done.returncode == 0, done.stderr
    assert (output / "ending.txt").read_text() == "completed"
    steps = lines(output)
    assert [step["num_rows"] for step in steps] == [4, 4, 4, 4, 4, 4, 4, 2]
    assert all(step["grad_norm"] > 0 for step in steps), "recorded without clipping too"


@pytest.mark.parity
@pytest.mark.parametrize(
    ("peft_config", "reason"),
    [
        ("None", "the original trains every parameter"),
        ("LoraConfig(r=4, use_dora=True, target_modules=['q_proj'])", "use_dora=True"),
    ],
)
def test_what_is_not_plain_lora_is_aligned_and_says_why(tmp_path, peft_config, reason):
    done, output = run_original(tmp_path, num_steps=1, peft_config=peft_config)
    assert done.returncode == 0, done.stderr
    config = json.loads((output / "adapter" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (32, 32)
    assert reason in (output / "aligned.txt").read_text()
