"""What goes on beside the calls: tasks that are kept, told of when they break, and ended together."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from funcgate.logs import logger


class Tasks:
    """Of one loop. The loop itself holds tasks weakly: whoever keeps nothing may see them vanish."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def end(self) -> None:
        """Cancel all, and wait until they are over."""
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger().error("a background task broke", task=task.get_name(), exc_info=task.exception())
