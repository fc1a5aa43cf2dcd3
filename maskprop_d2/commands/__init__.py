"""The commands of ``maskprop``, one file each: they parse arguments and call the packages below."""

import warnings

# Detectron2 calls script while it is imported, before a command can set up its logging; exported
# models are loaded with load.
warnings.filterwarnings("ignore", r"`torch\.jit\.(script|load)` is deprecated")
