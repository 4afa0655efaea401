"""Rules for trainings that a launcher describes by options alone: verl and OpenRLHF."""
