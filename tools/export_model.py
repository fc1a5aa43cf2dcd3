#!/usr/bin/env python3
"""Write a trained model to one file that runs without Detectron2: ``maskprop export``."""

from maskprop_d2.commands.export import main

if __name__ == "__main__":
    main()
