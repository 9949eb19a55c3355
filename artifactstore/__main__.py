"""`python -m artifactstore`: the command line, where the console script is not on the path."""

import sys

from artifactstore.cli.main import main

sys.exit(main())
