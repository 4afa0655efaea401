"""OpenAI-style completions over the samplers: text in, text out."""
