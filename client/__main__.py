"""`python -m client` is `plethora`."""

from client.cli import main

main()
