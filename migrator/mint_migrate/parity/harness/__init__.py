"""What runs inside the child processes of a comparison. Nothing outside this folder imports it."""
