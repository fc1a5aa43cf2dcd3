"""``python -m maskprop_d2 COMMAND ...`` is the same as ``maskprop COMMAND ...``."""

from .commands.main import main

if __name__ == "__main__":
    main()
