"""Category names of the data sets that are registered, in the order of their ids."""

# fmt: off
YTVIS_2019 = [
    "person", "giant_panda", "lizard", "parrot", "skateboard", "sedan", "ape", "dog", "snake",
    "monkey", "hand", "rabbit", "duck", "cat", "cow", "fish", "train", "horse", "turtle", "bear",
    "motorbike", "giraffe", "leopard", "fox", "deer", "owl", "surfboard", "airplane", "truck",
    "zebra", "tiger", "elephant", "snowboard", "boat", "shark", "mouse", "frog", "eagle",
    "earless_seal", "tennis_racket",
]
MOVING_SHAPES = [
    "disk", "square", "triangle", "star", "ring", "cross", "crescent", "heart", "arrow",
    "hourglass",
]
# fmt: on
