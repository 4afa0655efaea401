"""Rules for OpenRLHF: its entry points, and what their flags become."""
