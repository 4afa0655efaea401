"""Configurations whose options are only known when the script runs: parsed, or splatted."""
