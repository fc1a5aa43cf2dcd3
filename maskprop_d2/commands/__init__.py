"""The commands of ``maskprop``, one file each: they parse arguments and call the packages below."""
