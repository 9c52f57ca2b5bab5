"""How a backup or a restore says how far it is."""

from collections.abc import Callable

Tell = Callable[[str, int, int], None]
"""Called with a table's name or `bundles`, what is done of it, and of how many; the last time with both equal."""
