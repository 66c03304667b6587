"""Who is next: one line per client, the lines take turns, so that a flood of one client delays only itself."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """Lines of waiting items by client. Not safe for threads: the scheduler's lock guards it."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[Item]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def push(self, client: str, item: Item) -> None:
        self._lines.setdefault(client, deque()).append(item)

    def take(self, may_enter: Callable[[Item], bool]) -> Item | None:
        """The first head that may enter; its client goes to the end. Who was passed over keeps its place."""
        for client, line in self._lines.items():
            if may_enter(line[0]):
                item = line.popleft()
                self._lines.move_to_end(client)
                self._drop_empty(client)
                return item
        return None

    def remove(self, client: str, item: Item) -> bool:
        """Takes an item out of its line; False if it isn't there any more."""
        line = self._lines.get(client, deque())
        if item not in line:
            return False
        line.remove(item)
        self._drop_empty(client)
        return True

    def drain(self) -> list[Item]:
        """Empties every line."""
        items = [item for line in self._lines.values() for item in line]
        self._lines.clear()
        return items

    def _drop_empty(self, client: str) -> None:
        if not self._lines[client]:
            del self._lines[client]
