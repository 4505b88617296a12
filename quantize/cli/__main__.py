"""``python -m quantize.cli``."""

from quantize.cli import main

if __name__ == "__main__":
    main()
