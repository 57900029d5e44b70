"""Item-wise work of coroutine functions: all items at once in one event loop."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from bf_batch.errors import ItemTimeoutError
from bf_batch.itemwise.work import Failure, Work, id_of


def run_async(work: Work, timeout: float | None, action: str) -> list[Any]:
    """Await the coroutines of all items; ItemTimeoutError for one that takes longer than ``timeout`` seconds.

    Where a loop runs already, as in a notebook, the work is done in a thread of its own.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_gather(work, timeout, action))
    results: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.extend(asyncio.run(_gather(work, timeout, action)))
        except BaseException as error:  # noqa: BLE001  raised in the caller
            errors.append(error)

    thread = threading.Thread(target=run, name="bf-async", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results


async def _gather(work: Work, timeout: float | None, action: str) -> list[Any]:
    async def one(number: int) -> Any:  # each is a task, and each task knows its own item
        try:
            return await asyncio.wait_for(work.call(number), timeout)
        except TimeoutError as error:
            if timeout is None:
                return Failure(error)
            what = f"took longer than timeout={timeout} s"
            raise ItemTimeoutError(id_of(work, number), action, work.positions[number], what) from None
        except Exception as error:  # noqa: BLE001  becomes an ItemError in the caller
            return Failure(error)

    tasks = [asyncio.ensure_future(one(number)) for number in range(len(work))]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
