"""The commands: ``maskprop demo``, ``maskprop train``, ...; one file each, thin over the rooms."""
