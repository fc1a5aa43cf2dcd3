#!/usr/bin/env python3
"""Segment, classify and track the objects of a video: ``maskprop demo``."""

from maskprop_d2.commands.demo import main

if __name__ == "__main__":
    main()
