"""The `plethora` client: a small Python library and a command line on top of it. It speaks HTTP only."""

from client.api import ApiError, Client, Unreachable

__all__ = ["ApiError", "Client", "Unreachable"]
