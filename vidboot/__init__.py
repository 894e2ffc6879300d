"""Train a model of long, sharp video from a folder of partial ones."""

__version__ = "0.1.0"
