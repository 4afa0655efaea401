"""Start the runtime as a process and run scripts against it; build the stand-in hub they load from.

Nothing here imports the runtime package or torch: `mint-runtime` is talked to as a program.
"""
