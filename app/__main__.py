"""`python -m app` is `samesay`."""

from app.cli import main

main()
