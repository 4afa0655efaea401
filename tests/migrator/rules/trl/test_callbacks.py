"""The loop calls the callbacks of the user that need nothing only a local model has."""

from __future__ import annotations

import pytest
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.plan import Fidelity
from support.scripts import LORA, SFT, converted, decision, migrated

BASE = 'output_dir="out", eval_strategy="epoch"'


def script(body: str, trainer: str = "", config: str = BASE, before: str = "") -> Migrated:
    head = "from transformers import PrinterCallback, TrainerCallback\n\n"
    head += "class Watch(TrainerCallback):\n"
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    given = f"eval_dataset=dataset, {trainer or 'callbacks=[Watch()]'}"
    text = SFT.format(config=config, lora=LORA, trainer=given, after="")
    return migrated(head + lines + text.replace("trainer.train()", f"{before}\ntrainer.train()"))


def watch(result: Migrated) -> Fidelity:
    found = [item for item in result.decisions if item.found.name == "Watch"]
    assert len(found) == 1
    return found[0].fidelity


STEP = "def on_step_end(self, args, state, control, **kwargs):\n    print(state.global_step)"


@pytest.mark.parametrize(
    "event",
    [
        *("on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end"),
        *("on_step_begin", "on_step_end", "on_evaluate", "on_save"),
    ],
)
def test_events_of_the_loop_are_called(event):
    result = script(f"def {event}(self, args, state, control, **kwargs):\n    pass")
    text = converted(result)
    assert f'call_event("{event}"' in text
    assert "    callbacks=[Watch()],\n" in text
    assert watch(result) is Fidelity.EXACT
    assert "TrainerCallback, TrainerControl, TrainerState" in text.replace(
        "\nfrom transformers import", ","
    )
    assert decision(result, f"transformers.TrainerCallback.{event}").fidelity is Fidelity.EXACT


def test_what_is_logged_is_said_to_differ_at_the_end():
    result = script("def on_log(self, args, state, control, logs=None, **kwargs):\n    pass")
    assert watch(result) is Fidelity.APPROXIMATE
    assert "totals that the Trainer logs at the end" in converted(result)


@pytest.mark.parametrize(
    ("body", "config"),
    [
        ("def on_step_end(self, args, state, control, model=None, **kwargs):\n    pass", BASE),
        ("def on_step_end(self, args, state, control, **kw):\n    print(kw['model'])", BASE),
        ("def on_save(self, args, state, control, **kw):\n    kw.get('optimizer')", BASE),
        ("def on_pre_optimizer_step(self, args, state, control, **kw):\n    pass", BASE),
        ("def on_step_end(self, args, state, control):\n    pass", BASE),
        (
            "def on_step_end(self, args, state, control, **kw):\n    control.should_save = True",
            f'{BASE}, save_strategy="no"',
        ),
        (
            "def on_step_end(self, args, state, control, **kw):\n"
            "    control.should_evaluate = True",
            'output_dir="out"',
        ),
    ],
)
def test_a_callback_that_the_loop_cannot_serve_is_for_a_person(body, config):
    result = script(body, config=config)
    text = converted(result)
    assert watch(result) is Fidelity.MANUAL
    assert "call_event" not in text
    assert "TODO[mint-migrate MM216]" in text


def test_flags_that_the_loop_looks_at_are_honored():
    text = converted(script(STEP.replace("print(state.global_step)", "control.should_save = True")))
    assert "if control.should_save or done % config.save_steps == 0" in text
    assert "if control.should_training_stop:\n                break" in text


def test_what_a_callback_reads_of_the_configuration_is_in_the_namespace():
    text = converted(
        script(STEP.replace("state.global_step", "args.weight_decay, args.eval_steps"))
    )
    assert "    weight_decay=0.0," in text


@pytest.mark.parametrize(
    ("given", "handed"),
    [("Watch()", "[Watch()]"), ("Watch", "[Watch()]"), ("watch", "[watch]")],
)
def test_callbacks_added_before_training_are_called(given, handed):
    before = f"watch = Watch()\ntrainer.add_callback({given})"
    result = script(STEP, trainer="callbacks=None", before=before)
    text = converted(result)
    assert f"    callbacks={handed},\n" in text
    assert "add_callback" not in text


def test_display_of_the_trainer_is_dropped_and_the_rest_called():
    result = script(STEP, trainer="callbacks=[PrinterCallback(), Watch()]")
    assert "    callbacks=[Watch()],\n" in converted(result)
    found = [item for item in result.decisions if item.found.name == "transformers.PrinterCallback"]
    assert Fidelity.DROPPED in {item.fidelity for item in found}


@pytest.mark.parametrize("trainer", ["callbacks=[]", "callbacks=None"])
def test_without_callbacks_the_loop_has_none(trainer):
    assert "call_event" not in converted(script("pass", trainer=trainer))
