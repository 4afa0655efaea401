"""RLOO in its two forms: with a reward model before 0.22, with reward functions from then on."""
