"""The commands of ``maskprop``, one file each: they parse arguments and call the packages below."""

import warnings

# Detectron2 does this while it is imported, before a command can set up its logging.
warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated")
