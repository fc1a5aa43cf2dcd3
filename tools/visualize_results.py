#!/usr/bin/env python3
"""Make a page of results to look at: ``maskprop visualize``."""

from maskprop_d2.commands.visualize import main

if __name__ == "__main__":
    main()
