"""``python -m hipct`` is the command ``hipct``."""

from hipct.cli.main import main

if __name__ == "__main__":
    main()
