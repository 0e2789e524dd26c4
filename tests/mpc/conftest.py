"""The suites that several protocols share are imported by name: ``from verbs import Verbs``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
