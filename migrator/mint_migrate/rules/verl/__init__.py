"""Rules for verl: its entry points, and what their configuration keys become."""
