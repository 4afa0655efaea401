"""Distillation: `GKDTrainer`, `DistillationTrainer` and `MiniLLMTrainer`, on own samples."""
