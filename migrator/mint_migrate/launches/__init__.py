"""The commands of a launcher that train, and the options they are given, each with its place."""
