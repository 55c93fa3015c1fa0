"""`python -m notebook_do.cli`: the same as `notebook-do`."""

from notebook_do.cli import main

raise SystemExit(main())
