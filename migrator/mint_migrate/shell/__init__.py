"""Reads shell scripts as text: words, commands, and what is known of variables. Runs nothing."""
