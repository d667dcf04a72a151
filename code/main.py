"""Entry of ``spark-submit`` and of ``python code/main.py``: JOB APPLICATION [options]."""

import sys

from streamforest.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
