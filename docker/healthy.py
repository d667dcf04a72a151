#!/usr/bin/python3 -IS
"""Health check: ``healthy.py URL [PATH=VALUE]``; 0 where the URL answers 200 and the JSON at PATH is VALUE.

PATH is dotted; a part ``*`` stands for any element of a list. ``{host}`` in VALUE is the name under which
this container offers itself to the cluster.
"""

import json
import os
import socket
import sys
import urllib.request
from collections.abc import Iterator

LIMIT_S = 8


def values(document: object, path: list[str]) -> Iterator[object]:
    """What stands at a path; nothing where there is none."""
    if not path:
        yield document
    elif isinstance(document, dict) and path[0] in document:
        yield from values(document[path[0]], path[1:])
    elif isinstance(document, list) and path[0] == "*":
        for element in document:
            yield from values(element, path[1:])


def main(arguments: list[str]) -> int:
    """Ask, and compare each expectation with the answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(arguments[0], timeout=LIMIT_S) as answer:
            text = answer.read()
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{arguments[0]}: {error}\n")
        return 1
    for expectation in arguments[1:]:
        path, _, wanted = expectation.partition("=")
        found = [str(value) for value in values(json.loads(text), path.split("."))]
        if wanted.replace("{host}", os.environ.get("SPARK_WORKER_HOST") or socket.gethostname()) not in found:
            sys.stderr.write(f"{arguments[0]}: {path} is {', '.join(found) or 'absent'}, not {wanted}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
