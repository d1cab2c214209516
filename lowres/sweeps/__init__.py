"""Sweeps: many runs of recipes, side by side, as one command that can be given again."""
