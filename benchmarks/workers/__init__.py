"""Programs that run in processes of their own and answer calls over pipes."""
