"""Which backends the tests are run on: those that are installed, or the one that ENSUE_GUIDED_BACKEND names.

`make test-guided` names each in turn, in an environment of its own; one that is named and missing fails.
"""

from __future__ import annotations

import os
from typing import Any

from ensue.guided.backends import LIBRARIES, is_installed

NAMED = os.environ.get("ENSUE_GUIDED_BACKEND")
NAMES: list[Any] = [NAMED] if NAMED else [name for name in LIBRARIES if is_installed(name)]
