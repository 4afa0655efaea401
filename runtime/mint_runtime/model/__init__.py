"""Base models, LoRA adapters and log-probabilities: plain PyTorch, no requests and no ids."""
