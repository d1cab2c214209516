"""Adapt multilingual encoders to underserved languages, and measure the transfer honestly.

Nothing is imported here: `import lowres` costs nothing, and each module says what it needs.
"""

__version__ = "0.1.0"
