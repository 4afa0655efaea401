"""What lies behind imports from other files of a project: read, never executed."""
