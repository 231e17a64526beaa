"""SQLAlchemy's pool, which waits while the server has no room for one more of our connections."""

from __future__ import annotations

from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import PoolProxiedConnection, QueuePool
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from jobsync.db.causes import NoRoom
from jobsync.errors import Unavailable

ROOM_WITHIN_S = 30.0
_LOOK_EVERY_S = 0.2


class PatientPool(QueuePool):
    """SQLAlchemy's queue of connections; with a role's limit below its size, threads share what the server grants."""

    def connect(self) -> PoolProxiedConnection:
        """
        Return a connection of the pool.

        Raises:
            Unavailable: none has become free for half a minute, or none could be opened.
        """
        try:
            return super().connect()
        except NoRoom:
            # one of ours comes back soon; it is taken then, instead of one more
            waiting = Retrying(
                retry=retry_if_exception(lambda error: isinstance(error, NoRoom) and self._has_others()),
                stop=stop_after_delay(ROOM_WITHIN_S),
                wait=wait_fixed(_LOOK_EVERY_S),
                reraise=True,
            )
            return waiting(super().connect)
        except PoolTimeout:
            raise Unavailable(f"database: no work connection has become free for {self.timeout():g} s") from None

    def _has_others(self) -> bool:
        return self.checkedout() + self.checkedin() > 0
