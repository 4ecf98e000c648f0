"""Points of a study, on Dask: on processes of this machine, or on a scheduler's workers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ohmspike.host.support.errors import UserError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["carried_out", "client_of"]


@contextlib.contextmanager
def client_of(scheduler: str | None, workers: int) -> Iterator[Client]:
    """A client of a scheduler, or of so many processes of this machine.

    A point of a worker that dies is run again, up to ten times.

    Raises
    ------
    UserError
        Dask is not installed, or the scheduler does not answer.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        raise UserError("the study needs Dask, which is not installed",
                        hint="pip install 'ohmspike[study]'") from None
    dask.config.set({"distributed.scheduler.allowed-failures": 10})
    with contextlib.ExitStack() as stack:
        try:
            cluster = scheduler or stack.enter_context(LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"))
            client = stack.enter_context(Client(cluster, timeout="10s"))
        except OSError as error:
            raise UserError(f"scheduler {scheduler}: {error}", hint="start it with `dask scheduler`") from None
        yield client


def carried_out(client: Client, futures: list[Any], done: int, total: int,
                progress: Callable[[int, int], None] | None) -> Iterator[list[dict[str, Any]]]:
    """Lines of every future as it ends; ``done`` of ``total`` points had been done before."""
    from distributed import as_completed

    for number, future in enumerate(as_completed(futures), 1):
        yield future.result()
        if progress is not None:
            progress(done + number, total)
