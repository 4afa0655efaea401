"""Helpers that several test modules share; product code never imports them."""
