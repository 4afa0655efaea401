"""Bytes to messages and back, as the published clients speak them.

No state, no torch, nothing else of ours.
"""
