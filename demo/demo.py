#!/usr/bin/env python3
"""Segment, classify and track the objects of a video. The same as ``maskprop demo``."""

from maskprop_d2.commands.demo import main

if __name__ == "__main__":
    main()
