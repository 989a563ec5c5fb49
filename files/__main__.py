"""Write each script with its libraries into a directory, for a linter: python -m files DIRECTORY"""

from __future__ import annotations

import sys
from pathlib import Path

import files


def main() -> None:
    for pattern in ("bin/*", "daemons/*", "facts/*", "install", "refuse"):
        for path in files.HERE.glob(pattern):
            name = str(path.relative_to(files.HERE))
            Path(sys.argv[1], name.replace("/", "-")).write_text(files.text(name))


if __name__ == "__main__":
    main()
