"""`python -m fairlead.cli` is the `fairlead` command."""

import sys

from fairlead.cli import main

sys.exit(main())
