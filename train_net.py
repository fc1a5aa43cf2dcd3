#!/usr/bin/env python3
"""Train MaskProp, or evaluate it with ``--eval-only``: ``maskprop train``."""

from maskprop_d2.commands.train import main

if __name__ == "__main__":
    main()
