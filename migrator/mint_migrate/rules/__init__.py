"""Rules: what a construct of a source framework becomes, where a table row alone cannot say."""
