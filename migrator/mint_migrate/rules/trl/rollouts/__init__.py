"""Rules that every trainer that samples shares: rounds, samples, rewards."""
