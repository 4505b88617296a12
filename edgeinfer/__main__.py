"""``python -m edgeinfer``."""

from edgeinfer.cli import main

if __name__ == "__main__":
    main()
