"""Modules beside the tests are imported by name: ``from clear import opened``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
