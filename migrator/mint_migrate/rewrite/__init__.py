"""From a plan to text: replace the user's statements in their place and leave the rest as it is."""
