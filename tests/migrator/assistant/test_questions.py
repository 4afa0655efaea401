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
    "what does forward_backward_reverse_kl compute": "mint.reverse_kl",
    "on policy distillation": "mint.reverse_kl",
    # More of the server.
    "how do I upload an adapter": "mint.upload",
    "how do I average checkpoints": "mint.interpolate",
    "is there an OpenAI compatible endpoint": "mint.openai",
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
    # As people say it.
    "why does my run end up with a loss in the thousands": "mint.loss_sums",
    "my loss is 1000 times bigger after migrating": "mint.loss_sums",
    "do I divide by the number of tokens": "mint.loss_sums",
    "what is the replacement for vLLM workers": "verl.vllm_backend",
    "how to pass eos token to sampling": "mint.stop_tokens",
    "generation never stops": "mint.stop_tokens",
    "how can I use weight decay": "mint.adam_params",
    "what beta2 does mint use": "mint.adam_params",
    "is Adafactor supported": "transformers.Adafactor",
    "how do I restart a job from a saved checkpoint": "mint.resume",
    "restore optimizer state": "mint.resume",
    "how do I mask the prompt": "trl.completion_only",
    "loss only on assistant tokens": "trl.completion_only",
    "do I need a GPU": "mint.distributed_training",
    "where does DeepSpeed config go": "mint.distributed_training",
    "qlora 4bit": "mint.distributed_training",
    "how is the reference model handled": "mint.kl_penalty",
    "how do I compute GAE": "verl.critic_worker",
    "value head": "mint.critic",
    "is there an equivalent of SimPO": "trl.kto_trainer",
    "orpo": "trl.kto_trainer",
    "knowledge distillation from a teacher": "trl.distillation",
    "push to hub": "mint.download",
    "merge the adapter": "mint.download",
    "what rank should I use for lora": "trl.peft_config",
    "which base models are supported": "mint.model_loading",
    "does openrlhf's reinforce++ baseline work": "openrlhf.train_ppo_ray",
    "openrlhf reward server": "openrlhf.reward",
    "how do I do supervised fine-tuning with verl": "verl.sft_trainer",
    "reward function": "mint.reward_function",
    "group advantage normalization": "verl.advantages",
    "token-mean vs seq-mean": "verl.loss_agg_mode",
    "wait for the result of forward_backward": "mint.futures",
    "off by one in targets": "mint.token_alignment",
    "how should I shift the labels": "mint.token_alignment",
    "early stopping": "mint.evaluation",
    "packing": "trl.packing",
    "clip higher epsilon_high": "mint.clip_thresholds",
    "label smoothing": "mint.entropy",
    "compute the entropy": "mint.entropy",
    "set MINT_BASE_URL": "mint.credentials",
    "how do I write a policy gradient by hand in pytorch": "torch.policy_loss",
    "what is the difference in checkpointing": "mint.checkpointing",
    "PPO": "mint.ppo",
    "importance sampling": "mint.importance_sampling",
    "what happens with my DataProto batches": "verl.data_proto",
    "how do I get logprobs of the old policy": "mint.temperature",
    "can I use SGLang": "verl.vllm_backend",
    "who computes the reward": "mint.reward_function",
    "where do my checkpoints go": "mint.checkpointing",
    "does mint support megatron": "verl.sharding",
    "how do I set the batch size": "mint.gradient_accumulation",
    "how do I use a scheduler": "mint.learning_rate",
    "linear warmup": "mint.learning_rate",
    "should I increase my learning rate for LoRA": "mint.lora_learning_rate",
    "is dropout supported in lora": "mint.lora_alpha",
    "can I do full parameter training": "mint.full_finetuning",
    "how do I define my own loss function": "mint.custom_loss",
    "pass advantages to forward_backward_custom": "mint.custom_loss",
    "load weights and optimizer state": "mint.resume",
    "temperature in sampling": "mint.temperature",
    "how to clip gradients": "mint.adam_params",
    "clip ratio": "mint.clip_thresholds",
    "what replaces model.generate": "mint.inference",
    "trl DPO beta": "trl.dpo_trainer",
    "ray cluster": "verl.sharding",
    "what is the sum of the loss divided by": "mint.loss_sums",
    "validation set": "mint.evaluation",
    "async": "mint.futures",
    "chat template": "trl.dataset",
    "does mint have a value function": "mint.critic",
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
GUIDES = {
    "verl": "verl",
    "TRL": "trl",
    "openrlhf": "openrlhf",
    "pytorch": "torch",
    "tinker": "tinker",
    "trl vs mint": "trl",
    "help me migrate my script from verl": "verl",
    "how do I migrate from OpenRLHF": "openrlhf",
    "from Hugging Face to mint": "trl",
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
    "how do I make pizza dough",
    "who won the world cup",
    "best python web framework",
    "how to train for a marathon",
    "what is the exchange rate of the euro",
    "how do I sample wine",
    "my computer crashed",
    "learn guitar online",
    "tensorflow distributed strategy",
    "convert pdf to word",
    "how do I use langchain agents",
    "stable diffusion lora for anime",
    "bank loan interest rate",
    "reward points credit card",
    "how do I save money",
    "resume template",
    "transformer oil voltage",
    "how do I load a dishwasher",
    "how do I train a chess engine",
    "what time is it",
    "how do I cook rice",
    "how to sum columns in excel",
    "policy on vacation",
    "is kubernetes hard",
    "how to use ray tracing in blender",
    "gradient background css",
    "value of bitcoin",
    "batch rename files",
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


@pytest.mark.parametrize(("question", "framework"), GUIDES.items())
def test_a_framework_gets_its_guide(question, framework, tables):
    found = answer(question, tables)
    assert found.kind == "guide"
    assert found.guide.guide.framework == framework


def test_a_question_that_names_a_framework_prefers_its_concepts(tables):
    assert answer("DPOTrainer", tables).entries[0].framework == "trl"
    assert answer("DPOTrainer in openrlhf", tables).entries[0].framework == "openrlhf"


@pytest.mark.parametrize("question", ["", "   "])
def test_no_question_gets_help(question, tables):
    found = answer(question, tables)
    assert found.kind == "help"
    assert not found.found


def test_an_unknown_symbol_gets_the_ones_spelled_alike(tables):
    found = answer("max_seq_lenght", tables)
    assert found.kind == "not_found"
    assert "trl.SFTConfig.max_seq_length" in [near.id for near in found.nearest]


def test_an_answer_does_not_depend_on_the_spelling(tables):
    wanted = answer("what replaces DataProto", tables).entries
    assert answer("  What replaces   DataProto?", tables).entries == wanted
    assert answer("what replaces `dataproto`?!", tables).entries[0].id == wanted[0].id


@pytest.mark.parametrize("question", [*QUESTIONS, *SYMBOLS])
def test_every_entry_of_an_answer_has_a_source(question, tables):
    for entry in answer(question, tables).entries:
        assert entry.sources
        assert all(source.startswith("https://") for source in entry.sources)
