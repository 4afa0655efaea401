"""What PPO from 0.12 on and RLOO before 0.22 share: responses that a reward model scores."""
