"""Convert LLM post-training scripts to MinT, and say what happened to every argument."""

__version__ = "0.1.0"
