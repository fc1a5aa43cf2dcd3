"""Tensor operators: soft IoU, deformable sampling, mask pasting, crops and RLE."""
