"""The clocks of a stream's users: which readings are late, and who has been silent for so long that little is kept.

A user's clock is the latest time among that user's readings. How long a user has been silent is told by another one,
the clock of the Kafka partition: it moves on as the latest time of arrival does, but by no more than
:data:`LONGEST_STEP_MS` at once. So a producer whose own clock jumps hardly moves it (one far ahead stops it until the
others are there), and it stands still while nothing comes.

**A silence** is a time longer than ``ttl_ms`` on that clock between two readings of a user. It ends the event that was
under way: the user's clock moves on by ``gap_ms`` and the lateness, so that what comes next belongs to another event or
is late. That is judged reading by reading in order of arrival, wherever a micro-batch ends; what is kept of a silent
user's event can therefore be dropped at any time, early or late, and no prediction depends on when.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamforest.ml.windows import Flags, Index, Times

LONGEST_STEP_MS = 60_000
"""The most that a partition's clock moves from one arrival to the next."""
NEVER_MS = np.int64(-(1 << 60))
"""Before any time."""


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """Readings in their order of arrival, one entry each."""

    user: Index
    times_ms: Times
    """On the user's own clock."""
    partition: Index
    arrived_ms: Times
    """On Kafka's clock."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is too late and what is too long."""

    lateness_ms: int
    """How much older than its user's clock a reading may be."""
    gap_ms: int
    """Readings that lie further apart are of two events."""
    ttl_ms: int
    """For how long a user may be silent; 0: for ever."""


@dataclass(frozen=True, kw_only=True)
class Clocks:
    """Of each user, sorted; and of each partition."""

    user: Index
    latest_ms: Times
    heard_ms: Times
    """What the partition's clock said at the user's last reading."""
    partition: Index
    """The partition of that reading."""
    partitions: dict[int, tuple[int, int]]
    """Of each partition its clock and the latest time of arrival, in ms."""

    @classmethod
    def none(cls) -> Clocks:
        """Of nobody."""
        empty = np.zeros(0, dtype=np.int64)
        return cls(user=empty, latest_ms=empty, heard_ms=empty, partition=empty, partitions={})

    def take(self, arrivals: Arrivals, limits: Limits) -> tuple[Clocks, Flags]:
        """The clocks after these readings, and which of them are late."""
        if not len(arrivals.user):
            return self, np.zeros(0, dtype=bool)
        users = np.union1d(self.user, arrivals.user)
        known = np.searchsorted(users, self.user)
        latest_ms, heard_ms = np.full(len(users), NEVER_MS), np.full(len(users), NEVER_MS)
        partition = np.full(len(users), -1, dtype=np.int64)
        latest_ms[known], heard_ms[known], partition[known] = self.latest_ms, self.heard_ms, self.partition
        told_ms, partitions = self._told(arrivals)
        position = np.searchsorted(users, arrivals.user)
        order = np.argsort(position, kind="stable")
        user, time_ms, told_ms = position[order], arrivals.times_ms[order], told_ms[order]
        first = np.flatnonzero(np.concatenate(([True], np.diff(user) != 0)))
        last = np.append(first[1:], len(user)) - 1

        # Clocks of two partitions cannot be compared: who has moved to another one was silent if the old one says so.
        came_by = arrivals.partition[order]
        silent = np.zeros(len(user), dtype=bool)
        if limits.ttl_ms:
            silent[1:] = (np.diff(came_by) == 0) & (np.diff(told_ms) > limits.ttl_ms)
            was_silent = np.zeros(len(users), dtype=bool)
            was_silent[known] = self.silent(limits.ttl_ms)
            at = user[first]
            since_ms = np.where(heard_ms[at] == NEVER_MS, 0, told_ms[first] - heard_ms[at])
            silent[first] = was_silent[at] | ((came_by[first] == partition[at]) & (since_ms > limits.ttl_ms))
        # How far silences have moved each user's clock since the first of these readings.
        silences = np.cumsum(silent)
        silences -= np.repeat((silences - silent)[first], last - first + 1)
        moved_ms = silences * (limits.gap_ms + limits.lateness_ms + 1)
        # A clock that is moved at some readings is a running maximum of times that are moved the other way.
        still_ms = time_ms - moved_ms
        running_ms = _running_maximum(user, still_ms)
        clock_ms = latest_ms[user]
        clock_ms[1:] = np.maximum(clock_ms[1:], np.where(user[1:] == user[:-1], running_ms[:-1], NEVER_MS))
        late = np.empty(len(order), dtype=bool)
        late[order] = still_ms < clock_ms - limits.lateness_ms

        seen = user[last]
        latest_ms[seen] = np.maximum(latest_ms[seen], running_ms[last]) + moved_ms[last]
        heard_ms[seen] = told_ms[last]
        partition[seen] = came_by[last]
        after = Clocks(user=users, latest_ms=latest_ms, heard_ms=heard_ms, partition=partition, partitions=partitions)
        return after, late

    def silent(self, ttl_ms: int) -> Flags:
        """True for users whose next reading will end a silence, whatever it is."""
        if not ttl_ms:
            return np.zeros(len(self.user), dtype=bool)
        now_ms = np.full(len(self.user), NEVER_MS)
        for number, (clock_ms, _) in self.partitions.items():
            now_ms[self.partition == number] = clock_ms
        return np.asarray((self.heard_ms != NEVER_MS) & (now_ms - self.heard_ms > ttl_ms))

    def _told(self, arrivals: Arrivals) -> tuple[Times, dict[int, tuple[int, int]]]:
        """What its partition's clock said when each reading arrived, and the clocks afterwards."""
        told_ms, partitions = np.empty(len(arrivals.user), dtype=np.int64), dict(self.partitions)
        for number in np.unique(arrivals.partition).tolist():
            rows = arrivals.partition == number
            arrived_ms = arrivals.arrived_ms[rows]
            clock_ms, before_ms = partitions.get(number, (0, int(arrived_ms[0])))
            newest_ms = np.maximum.accumulate(np.concatenate(([before_ms], arrived_ms)))
            told_ms[rows] = clock_ms + np.cumsum(np.minimum(np.diff(newest_ms), LONGEST_STEP_MS))
            partitions[number] = int(told_ms[rows][-1]), int(newest_ms[-1])
        return told_ms, partitions


def _running_maximum(user: Index, values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The largest value so far of each user, for readings sorted by user."""
    low = values.min()
    stride = int(values.max() - low) + 1
    # Users are moved so far apart that the next one's first value is a new maximum.
    return np.asarray(np.maximum.accumulate(user * stride + (values - low)) - user * stride + low)
