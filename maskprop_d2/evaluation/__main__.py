"""``python -m maskprop_d2.evaluation`` is the same as ``maskprop evaluate``."""

from ..commands.evaluate import main

if __name__ == "__main__":
    main(prog="python -m maskprop_d2.evaluation")
