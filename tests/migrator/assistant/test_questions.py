"""Questions with the entry that must answer them, and questions that must not be answered."""

from __future__ import annotations

import pytest
from mint_migrate.assistant.answer import answer
from mint_migrate.tables.lookup import load_tables

QUESTIONS = {
    # The two concept tables of the slash command.
    "what replaces RolloutWorker": "verl.rollout_worker",
    "ActorRolloutRefWorker": "verl.actor_rollout_ref_worker",
    "how do I port my RewardManager": "verl.reward_manager",
    "what replaces PPOTrainer in verl": "verl.ray_ppo_trainer",
    "RayPPOTrainer": "verl.ray_ppo_trainer",
    "what replaces DataProto": "verl.data_proto",
    "do I need the vllm backend": "verl.vllm_backend",
    "what about megatron sharding in verl": "verl.sharding",
    "verl fsdp": "verl.sharding",
    "what replaces SFTTrainer": "trl.sft_trainer",
    "how do I migrate trl.PPOTrainer": "trl.ppo_trainer",
    "how do I do DPO": "trl.dpo_trainer",
    "DPOTrainer": "trl.dpo_trainer",
    "what replaces AutoModelForCausalLM": "trl.auto_model",
    "how do I convert my HuggingFace dataset": "trl.dataset",
    # The five losses.
    "cross entropy": "mint.cross_entropy",
    "what does importance_sampling compute": "mint.importance_sampling",
    "what is the formula of the ppo loss": "mint.ppo",
    "cispo": "mint.cispo",
    "what does dro do": "mint.dro",
    "which loss functions are there": "mint.loss_functions",
    # The key differences.
    "can I use fsdp": "mint.distributed_training",
    "how does distributed training work": "mint.distributed_training",
    "can I load a model from a local path": "mint.model_loading",
    "how do I generate text": "mint.inference",
    "how do I save a checkpoint": "mint.checkpointing",
    # The pitfalls.
    "do I have to await the futures": "mint.futures",
    "nothing happens when I call forward_backward": "mint.futures",
    "are the targets shifted by one token": "mint.token_alignment",
    "token alignment": "mint.token_alignment",
    "how much higher should the LoRA learning rate be": "mint.lora_learning_rate",
    "how does gradient accumulation work": "mint.gradient_accumulation",
    "why is my loss scaled differently": "mint.loss_sums",
    "is the loss a mean or a sum": "mint.loss_sums",
    "my loss is much larger than in TRL": "mint.loss_sums",
    "what is clip_high_threshold": "mint.clip_thresholds",
    "how do I set the clip range": "mint.clip_thresholds",
    "stop tokens": "mint.stop_tokens",
    "my stop_token_ids are ignored": "mint.stop_tokens",
    "which optimizer settings are the defaults": "mint.adam_params",
    "gradient clipping": "mint.adam_params",
    "how do I choose lora alpha": "mint.lora_alpha",
    "can I write a custom loss": "mint.custom_loss",
    "the name of my sampling client is ignored": "mint.sampler_name",
    "how do I resume": "mint.resume",
    "continue training after a crash": "mint.resume",
    # Limits.
    "what about a critic": "mint.critic",
    "can I train a reward model": "trl.reward_trainer",
    "what about reward models": "mint.reward_model",
    "is full fine-tuning possible": "mint.full_finetuning",
    "entropy bonus": "mint.entropy",
    # The rest.
    "how do I set the learning rate": "mint.learning_rate",
    "cosine schedule with warmup": "mint.learning_rate",
    "how do I add a KL penalty": "mint.kl_penalty",
    "where do I put my API key": "mint.credentials",
    "how do I download the weights": "mint.download",
    "how do I evaluate during training": "mint.evaluation",
    "how do I run GRPO": "trl.grpo_trainer",
    "grpo with verl": "verl.ray_ppo_trainer",
    "how do I train on completions only": "trl.completion_only",
    "loss_agg_mode": "verl.loss_agg_mode",
    "train_ppo_ray": "openrlhf.train_ppo_ray",
    "how do I do DPO with OpenRLHF": "openrlhf.train_dpo",
    "remote_rm_url": "openrlhf.reward",
    "I have my own training loop in PyTorch": "torch.training_loop",
    "what replaces loss.backward": "torch.training_loop",
    "what changes in my import of tinker": "tinker.import",
    "KTO": "trl.kto_trainer",
    "LoraConfig": "trl.peft_config",
}
SYMBOLS = {
    "max_seq_length": "trl.SFTConfig.max_seq_length",
    "what happens to warmup_ratio": "mint.learning_rate",
    "trl.SFTConfig.packing": "trl.SFTConfig.packing",
    "what becomes of neftune_noise_alpha": "trl.SFTConfig.neftune_noise_alpha",
    "explain MM205 to me": "MM205",
    "mm207": "MM207",
    "mint.ppo": "mint.ppo",
}
UNRELATED = (
    "how do I bake bread",
    "what is the weather",
    "how do I use keras",
    "what replaces FooTrainer",
    "is numpy faster than pandas",
    "write me a poem about the sea",
    "what is the best restaurant near the station",
    "how do I train my dog",
    "how do I reset my phone",
    "can jax do data augmentation for images",
    "what is the capital of France",
    "asdf qwer zxcv",
)


@pytest.fixture(scope="module")
def tables():
    return load_tables()


@pytest.mark.parametrize(("question", "wanted"), [*QUESTIONS.items(), *SYMBOLS.items()])
def test_a_question_gets_the_entry_that_answers_it(question, wanted, tables):
    found = answer(question, tables)
    assert found.kind == "answer"
    assert found.entries[0].id == wanted


@pytest.mark.parametrize("question", UNRELATED)
def test_a_question_outside_the_tables_is_not_answered(question, tables):
    found = answer(question, tables)
    assert found.kind == "not_found"
    assert found.entries == ()
    assert found.nearest
