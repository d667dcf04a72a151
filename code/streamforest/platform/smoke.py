"""The table at the end of ``start``, and the verb ``smoke``: ``python -m streamforest.platform.smoke [core|full]``."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence

from streamforest import settings
from streamforest.errors import StreamforestError, Unreachable, WrongUsage
from streamforest.failures import explain
from streamforest.platform.checks import CORE, FULL, Check
from streamforest.progress import say
from streamforest.settings import Settings

PROFILES: Mapping[str, Mapping[str, Check]] = {"core": CORE, "full": FULL}


def run(checks: Mapping[str, Check], given: Settings) -> list[str]:
    """Make every check, print a row for each, and return the names of those that failed."""
    failed = []
    say(f"{'check':<10}{'result':<9}{'seconds':>7}  seen", sys.stdout)
    for name, check in checks.items():
        started = time.monotonic()
        try:
            result, seen = "ok", check(given)
        except StreamforestError as error:
            result, seen = "FAILED", str(error)
        except Exception as error:
            result, seen = "FAILED", str(explain(error))
        if result != "ok":
            failed.append(name)
        say(f"{name:<10}{result:<9}{time.monotonic() - started:>7.1f}  {seen}", sys.stdout)
    return failed


def main(argv: Sequence[str]) -> int:
    """Check the services of a profile; returns 0, or 69 where one of them is not as it must be."""
    try:
        profile = argv[0] if argv else "full"
        if profile not in PROFILES:
            raise WrongUsage(f"there is no profile {profile}", f"the profiles are {', '.join(PROFILES)}")
        failed = run(PROFILES[profile], settings.load())
    except StreamforestError as error:
        say(f"streamforest: {error}")
        return error.exit_code
    return Unreachable.exit_code if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
