"""Answers from the mapping tables: found by their words, shown with code and sources, no model."""
