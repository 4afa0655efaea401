"""Files other than a Python script: notebooks, shell launchers and YAML configurations.

Each is turned into the text of a script, which goes through the ordinary stages; what they decide
and write is put back to where it belongs in the user's file.
"""
