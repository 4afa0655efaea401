"""Rules for Python files that use verl or OpenRLHF as a library."""
