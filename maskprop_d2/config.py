"""Every config key that MaskProp adds to Detectron2's."""

from detectron2.config import CfgNode as CN


def add_maskprop_config(cfg: CN) -> None:
    """Add MaskProp's keys and their defaults (the paper's, where it names one) to ``cfg``."""
    # One's own data sets in YouTube-VIS's format, each [name, json, folder of frames], to be named
    # in DATASETS.TRAIN and DATASETS.TEST. See docs/own_data.md.
    cfg.DATASETS.REGISTER = []

    # Training goes on without frames that cannot be read, up to this share of all frames.
    cfg.DATALOADER.MAX_BAD_FRAMES = 0.01

    # Training clips: frame t and NUM - 1 partners, which its masks are propagated to in one pass
    # (the paper: 2, a pair).
    cfg.INPUT.SAMPLING_FRAME_NUM = 2
    # Partners are drawn from t - RANGE .. t + RANGE (Sec. 4.4), counted in frames of the source
    # video, of which a data set lists every STRIDE-th one (5 in YouTube-VIS).
    cfg.INPUT.SAMPLING_FRAME_RANGE = 25
    cfg.INPUT.SAMPLING_FRAME_STRIDE = 5
    # Partners that a frame lacks because it has too few others within that range, above all a still
    # image, are randomly warped copies of it. Each figure is the most, either way: degrees, factor,
    # degrees, share of the frame's sides, and motion blur as a share of the translation.
    cfg.INPUT.IMAGE_WARP = CN()
    cfg.INPUT.IMAGE_WARP.ROTATION = 15.0
    cfg.INPUT.IMAGE_WARP.SCALE = 1.25
    cfg.INPUT.IMAGE_WARP.SHEAR = 8.0
    cfg.INPUT.IMAGE_WARP.TRANSLATION = 0.15
    cfg.INPUT.IMAGE_WARP.BLUR = 0.2

    cfg.MODEL.MASKPROP = CN()
    # T: masks are propagated to so many frames before and after (Fig. 6: 6 is best).
    cfg.MODEL.MASKPROP.CLIP_RADIUS = 6
    # The method that gives detections their video-level ids: "maskprop", "flow", "iou", "iou_plus",
    # "deepsort", or offline ones, "seqtracker" and "ensemble"; "masktrack", "feelvos", "osmn" and
    # "ensemble" need weights of their own. See docs/architecture.md.
    cfg.MODEL.MASKPROP.TRACKER = "maskprop"
    # Take the detector's losses on the partners too, not on frame t alone (paper): their features
    # are there anyway, so that the more examples cost little more time.
    cfg.MODEL.MASKPROP.TRAIN_ON_PARTNER = False
    # Of detections in one frame whose masks overlap by more than this soft IoU, whatever their
    # category, only the best is kept: duplicates would share one object in the softmax.
    cfg.MODEL.MASKPROP.DUPLICATE_THRESH = 0.7
    # Frames that go through the detector at once during inference.
    cfg.MODEL.MASKPROP.FRAMES_PER_BATCH = 4
    # What inference computes in: "float32", or mixed with "bfloat16" (CPUs and GPUs that have it:
    # about twice as fast) or "float16" (GPUs). For training see SOLVER.AMP.ENABLED.
    cfg.MODEL.MASKPROP.PRECISION = "float32"

    # STSN: frames nearby are sampled into the pyramid of each frame. In training the other frames
    # of its clip support a frame, in inference so many on each side: detections come as much later.
    stsn = cfg.MODEL.MASKPROP.STSN = CN()
    stsn.ENABLED = False
    stsn.RADIUS = 2
    # The levels that are supported, by one block for all. p2 would cost three times these together.
    stsn.IN_FEATURES = ["p3", "p4", "p5"]
    # Channels inside of the block.
    stsn.CHANNELS = 128

    propagation = cfg.MODEL.MASKPROP.PROPAGATION = CN()
    # "fused" (fast) or "literal" (as the paper writes it): the same function to float error.
    propagation.IMPL = "fused"
    # The pyramid level: the one with the second largest resolution (Sec. 4.4).
    propagation.IN_FEATURE = "p3"
    # Channels of the residual block that predicts offsets, and its GroupNorm's groups.
    propagation.OFFSET_CHANNELS = 128
    propagation.NUM_GROUPS = 32
    # One 3x3 deformable convolution for each.
    propagation.DILATIONS = [3, 6, 12]
    # Channels D of a hidden ReLU layer in the mask classifier; 0: the paper's linear 1x1 layer.
    propagation.HIDDEN_DIM = 0
    # Softmax over the N instances and a constant background, instead of the N instances (paper).
    propagation.BACKGROUND = True
    # "soft_iou" (Eq. 2) or "soft_iou_ce", which adds cross entropy.
    propagation.LOSS = "soft_iou"
    # Sum the terms of the soft IoU over the clip's frames before dividing, instead of per frame.
    propagation.SPACE_TIME_LOSS = False
    # Multiplier of the loss; with 0 there is none.
    propagation.LOSS_WEIGHT = 1.0
    # For so many iterations the ground-truth mask replaces the predicted one as the mask to
    # propagate, with a probability that falls from 1 to 0.
    propagation.GT_MASK_ITERS = 0

    # The semantic branch of Hybrid Task Cascade; with any of MaskProp's ROI heads.
    semantic = cfg.MODEL.MASKPROP.SEMANTIC = CN()
    semantic.ENABLED = False
    # The pyramid's levels that are fused, and the one among them on whose grid (stride 8).
    semantic.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
    semantic.FEATURE = "p3"
    semantic.NUM_CONVS = 4
    semantic.CONV_DIM = 256
    semantic.NORM = ""
    # 0: maps of the data set's categories and background are drawn from the instance masks. Else
    # they are files, one for each frame (Detectron2's "sem_seg_file_name"), with so many classes.
    semantic.NUM_CLASSES = 0
    semantic.LOSS_WEIGHT = 0.1

    # High-resolution refinement of the masks that are given out (Sec. 4.4).
    refinement = cfg.MODEL.MASKPROP.REFINEMENT = CN()
    refinement.ENABLED = False
    # Side of the crops. The cost of an object grows with its square: 110 billion multiplications
    # at 384.
    refinement.CROP_SIZE = 384
    # A crop is a square whose side is so many times the longer side of the detected box.
    refinement.CONTEXT = 1.25
    # Of the three residual blocks, and the groups of their GroupNorm.
    refinement.CHANNELS = 128
    refinement.NUM_GROUPS = 32
    # Objects that are refined at once: less needs less memory.
    refinement.CHUNK_SIZE = 4
    # Multiplier of the loss; with 0 there is none.
    refinement.LOSS_WEIGHT = 1.0

    # Multipliers of the losses of each stage of HybridTaskCascadeHeads.
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.STAGE_LOSS_WEIGHTS = [1.0, 0.5, 0.25]

    linking = cfg.MODEL.MASKPROP.LINKING = CN()
    # A clip track takes a video id only if it matches better than this (Sec. 4.3). It is also the
    # least overlap of two masks for "iou", "seqtracker", "feelvos", "osmn" and "ensemble";
    # "iou_plus" and "deepsort" have limits of their own.
    linking.THRESHOLD = 0.03
    # Clips are compared over "all" frames that they share (the paper's Eq. 4 and 5), or over those
    # "near" both centres, near clips counting more: propagated far, masks of fast objects mislead.
    linking.MATCH = "near"
    # A matching score is multiplied by how far the categories agree (paper: masks alone count).
    linking.CATEGORIES = True
    # Two detections of one frame never share an id (the paper's Eq. 5 would allow it).
    linking.EXCLUSIVE = True
    # A track's mask in a frame: "center", the detection there (paper); "average", the mean of all
    # clips that cover the frame; "fill", the detection, or the mean where the detector missed it.
    linking.FINAL_MASK = "center"
    # A track's score: the mean over its "detections" (paper), or that times the share of the
    # "video" in which it is seen, so that a short piece of a track ranks below a whole one.
    linking.TRACK_SCORE = "detections"
    # A track is reported for its best category, and for each further one scored at least this.
    linking.CLASS_FLOOR = 1.0

    # Optical flow, for "flow" and "ensemble": "dis" (OpenCV's, on the CPU), or torchvision's
    # "raft_small", "raft_large".
    cfg.MODEL.MASKPROP.FLOW = CN()
    cfg.MODEL.MASKPROP.FLOW.MODEL = "dis"
    # Of RAFT: a file with its state_dict; empty: torchvision downloads its own.
    cfg.MODEL.MASKPROP.FLOW.WEIGHTS = ""

    # MaskTrack R-CNN: whether the model has an embedding head, to be trained. It always has one if
    # TRACKER is "masktrack".
    cfg.MODEL.MASKPROP.MASKTRACK = CN()
    cfg.MODEL.MASKPROP.MASKTRACK.ENABLED = False
    # The head, as published: regions of 7 x 7 cells, two fully connected layers.
    cfg.MODEL.MASKPROP.MASKTRACK.POOLER_RESOLUTION = 7
    cfg.MODEL.MASKPROP.MASKTRACK.FC_DIM = 1024
    cfg.MODEL.MASKPROP.MASKTRACK.LOSS_WEIGHT = 1.0

    # DeepSORT: how many frames a track outlives its last detection, and the cosine distance of
    # colour histograms up to which a detection may be the track's.
    cfg.MODEL.MASKPROP.DEEPSORT = CN()
    cfg.MODEL.MASKPROP.DEEPSORT.MAX_AGE = 30
    cfg.MODEL.MASKPROP.DEEPSORT.MAX_APPEARANCE_DISTANCE = 0.2

    # EnsembleVIS: the cosine distance of colour histograms up to which two pieces of a track may
    # show one object.
    cfg.MODEL.MASKPROP.ENSEMBLE = CN()
    cfg.MODEL.MASKPROP.ENSEMBLE.MAX_APPEARANCE_DISTANCE = 0.2
    # Its crop classifier: side of the crops, channels of the residual blocks, each at half of the
    # resolution of the one before, and the groups of their GroupNorm.
    crop_classifier = cfg.MODEL.MASKPROP.CROP_CLASSIFIER = CN()
    crop_classifier.CROP_SIZE = 128
    crop_classifier.CHANNELS = [64, 128, 256, 512]
    crop_classifier.NUM_GROUPS = 32

    # The small ResNet of the MovingShapes models: channels of its four stages.
    cfg.MODEL.SMALL_RESNET = CN()
    cfg.MODEL.SMALL_RESNET.STAGE_CHANNELS = [32, 64, 128, 192]

    # "SGD" (Detectron2's) or "ADAMW", which trains small models from scratch much faster.
    cfg.SOLVER.OPTIMIZER = "SGD"
    # An iteration's IMS_PER_BATCH clips go through the network in so many passes, forwards and
    # backwards one after the other, and the optimizer has the mean of their gradients: memory for
    # few clips, the result of many. With REFERENCE_WORLD_SIZE a pass counts as a GPU.
    cfg.SOLVER.ACCUMULATE = 1
    # Evaluate and save the moving average of the weights, which keeps this share of itself in each
    # iteration: with 0.999 it is over about the last 1000. 0: the weights themselves.
    cfg.SOLVER.EMA_DECAY = 0.0
    # Parts that stay as MODEL.WEIGHTS has them, as ["backbone", "roi_heads.mask_*"]: names of
    # modules or weights in the model, or "detector" for all that finds the objects of a frame
    # (backbone, STSN, RPN, ROI heads, semantic branch). A detector without anything to learn has no
    # losses and takes no memory for gradients: see docs/still_images.md.
    cfg.SOLVER.FROZEN = []
    # Learning rates of parts as multiples of BASE_LR, as [["backbone", 0.1]]; of several that a
    # weight is in, the last one counts.
    cfg.SOLVER.LR_FACTORS = []
    # Detectron2's CLIP_GRADIENTS.CLIP_TYPE "value" and "norm" clip each weight's gradient by
    # itself; here it may also be "full_model", for the norm over all weights.
