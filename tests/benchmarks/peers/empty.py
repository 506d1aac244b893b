"""An application without anything, for Litestar's own `--help`."""

from litestar import Litestar

app = Litestar([])
