"""`python -m lowres`: what launchers of several processes start."""

from lowres.cli import main

main()
