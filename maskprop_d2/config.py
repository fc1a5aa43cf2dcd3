"""Every config key that MaskProp adds to Detectron2's."""

from detectron2.config import CfgNode as CN


def add_maskprop_config(cfg: CN) -> None:
    """Add MaskProp's keys and their defaults (the paper's, where it names one) to ``cfg``."""
    # Your own datasets in YouTube-VIS format, each [name, json, folder of frames]. Use their names
    # in DATASETS.TRAIN and DATASETS.TEST. See docs/own_data.md.
    cfg.DATASETS.REGISTER = []
    # Services that training logs to beside TensorBoard: "wandb", "mlflow". See docs/monitoring.md.
    cfg.LOGGERS = []

    # Training skips frames that cannot be read, up to this fraction of all frames.
    cfg.DATALOADER.MAX_BAD_FRAMES = 0.01

    # Frames in a training clip: frame t and NUM - 1 partners, to which its masks are propagated in
    # one pass. The paper uses pairs of frames (2).
    cfg.INPUT.SAMPLING_FRAME_NUM = 2
    # Partners are drawn from t - RANGE .. t + RANGE (Sec. 4.4), counted in frames of the source
    # video. The dataset lists every STRIDE-th of them (5 in YouTube-VIS).
    cfg.INPUT.SAMPLING_FRAME_RANGE = 25
    cfg.INPUT.SAMPLING_FRAME_STRIDE = 5
    # If there are too few other frames in that range, as for a still image, randomly warped copies
    # of the frame take their place. These are the limits in both directions: rotation and shear in
    # degrees, scale as a factor, translation as a fraction of the frame's sides, and motion blur as
    # a fraction of the translation.
    cfg.INPUT.IMAGE_WARP = CN()
    cfg.INPUT.IMAGE_WARP.ROTATION = 15.0
    cfg.INPUT.IMAGE_WARP.SCALE = 1.25
    cfg.INPUT.IMAGE_WARP.SHEAR = 8.0
    cfg.INPUT.IMAGE_WARP.TRANSLATION = 0.15
    cfg.INPUT.IMAGE_WARP.BLUR = 0.2

    cfg.MODEL.MASKPROP = CN()
    # T: masks are propagated to this many frames before and after (6 is best in Fig. 6).
    cfg.MODEL.MASKPROP.CLIP_RADIUS = 6
    # Tracking method: "maskprop", "flow", "iou", "iou_plus", "deepsort", "masktrack", "feelvos",
    # "osmn", or offline "seqtracker" and "ensemble". "masktrack", "feelvos", "osmn" and "ensemble"
    # need weights of their own. See docs/tracking.md.
    cfg.MODEL.MASKPROP.TRACKER = "maskprop"
    # Compute the detector's losses on the partners too. (In the paper: on frame t only.) Their
    # features are computed anyway, so the additional examples cost little time.
    cfg.MODEL.MASKPROP.TRAIN_ON_PARTNER = False
    # If more than this fraction of one detection's mask lies in that of another, whatever their
    # categories, only the one with the higher score is kept. Otherwise the two would split the
    # cells of one object between them in the softmax over instances.
    cfg.MODEL.MASKPROP.DUPLICATE_THRESH = 0.7
    # Batch size of the detector in inference.
    cfg.MODEL.MASKPROP.FRAMES_PER_BATCH = 4
    # Precision of inference: "float32", or mixed precision with "bfloat16" (about twice as fast on
    # CPUs and GPUs that support it) or "float16" (GPUs). For training, use SOLVER.AMP.ENABLED.
    cfg.MODEL.MASKPROP.PRECISION = "float32"

    # STSN: adds features sampled from neighbouring frames to the pyramid of each frame. Neighbours
    # are the other frames of its clip in training, and RADIUS frames on each side in inference,
    # which delays detections by RADIUS frames.
    stsn = cfg.MODEL.MASKPROP.STSN = CN()
    stsn.ENABLED = False
    stsn.RADIUS = 2
    # Pyramid levels, all processed by one block. p2 would cost three times as much as these
    # together.
    stsn.IN_FEATURES = ["p3", "p4", "p5"]
    # Channels inside the block.
    stsn.CHANNELS = 128

    propagation = cfg.MODEL.MASKPROP.PROPAGATION = CN()
    # "fused" (fast) or "literal" (as in the paper): the same function up to rounding.
    propagation.IMPL = "fused"
    # Pyramid level: the one with the second largest resolution (Sec. 4.4).
    propagation.IN_FEATURE = "p3"
    # Channels of the residual block that predicts offsets, and groups of its GroupNorm.
    propagation.OFFSET_CHANNELS = 128
    propagation.NUM_GROUPS = 32
    # Channels D of a hidden ReLU layer in the mask classifier; 0: the paper's linear 1x1 layer.
    propagation.HIDDEN_DIM = 0
    # Softmax over the N instances and a constant background. (In the paper: over the N instances
    # only.)
    propagation.BACKGROUND = True
    # The affinity read-out, in addition to the paper's warp: compares what cells look like.
    propagation.AFFINITY = CN()
    propagation.AFFINITY.ENABLED = False
    propagation.AFFINITY.CHANNELS = 64
    # A key describes STRIDE x STRIDE cells of the level. The cost falls with the fourth power.
    propagation.AFFINITY.STRIDE = 2
    # "soft_iou" (Eq. 2) or "soft_iou_ce", which adds cross entropy.
    propagation.LOSS = "soft_iou"
    # Sum numerator and denominator of the soft IoU over all frames of the clip before dividing,
    # instead of taking the mean of each frame's soft IoU.
    propagation.SPACE_TIME_LOSS = False
    # Multiplier of the loss; with 0 there is none.
    propagation.LOSS_WEIGHT = 1.0
    # In the first GT_MASK_ITERS iterations, ground-truth masks are propagated instead of predicted
    # ones, with a probability that falls from 1 to 0.
    propagation.GT_MASK_ITERS = 0

    # Semantic branch of Hybrid Task Cascade. It works with all ROI heads of MaskProp.
    semantic = cfg.MODEL.MASKPROP.SEMANTIC = CN()
    semantic.ENABLED = False
    # Pyramid levels that are fused, and the level on whose grid they are fused (p3: stride 8).
    semantic.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
    semantic.FEATURE = "p3"
    semantic.NUM_CONVS = 4
    semantic.CONV_DIM = 256
    semantic.NORM = ""
    # 0: draw the maps from the instance masks, with the dataset's categories and background.
    # Otherwise: the number of classes in map files, one per frame (Detectron2's
    # "sem_seg_file_name").
    semantic.NUM_CLASSES = 0
    semantic.LOSS_WEIGHT = 0.1

    # High-resolution refinement of the output masks (Sec. 4.4).
    refinement = cfg.MODEL.MASKPROP.REFINEMENT = CN()
    refinement.ENABLED = False
    # Side of the crops in pixels. The cost per object grows with its square: 110 billion
    # multiply-adds at 384.
    refinement.CROP_SIZE = 384
    # A crop is a square whose side is CONTEXT times the longer side of the detected box.
    refinement.CONTEXT = 1.25
    # Channels of the three residual blocks, and groups of their GroupNorm.
    refinement.CHANNELS = 128
    refinement.NUM_GROUPS = 32
    # Objects that are refined at once. A smaller number needs less memory.
    refinement.CHUNK_SIZE = 4
    # Multiplier of the loss; with 0 there is none.
    refinement.LOSS_WEIGHT = 1.0

    # Loss multipliers of the stages of HybridTaskCascadeHeads.
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.STAGE_LOSS_WEIGHTS = [1.0, 0.5, 0.25]

    linking = cfg.MODEL.MASKPROP.LINKING = CN()
    # Score above which a clip track gets the id of a video track (Sec. 4.3). For "iou",
    # "seqtracker", "feelvos", "osmn" and "ensemble", it is the minimum overlap of two masks.
    # "iou_plus", "masktrack" and "deepsort" do not use it.
    linking.THRESHOLD = 0.03
    # "all": compare two clips over all frames that both cover (the paper's Eq. 4 and 5). "near":
    # over the frames between the two centres, and give clips near in time more weight. Masks of
    # fast objects that are propagated far are unreliable.
    linking.MATCH = "near"
    # Weight w of the agreement of categories: matching scores are multiplied by
    # 1 - w + w * agreement, where the agreement is the cosine of the class scores. 0: compare masks
    # only (paper). 1: never link different categories.
    linking.CATEGORIES = 0.5
    # Not in the paper: weight of the similarity of appearance, which is added to the matching
    # scores, and number of frames for which a track's appearance is remembered after its last
    # detection. "maskprop" only, with PROPAGATION.AFFINITY.
    linking.APPEARANCE = 0.0
    linking.MEMORY = 0
    # Not in the paper: score above which a second detection of a track shows that the track has
    # divided, such as a cell. It ends, and each of both starts a new track. 0: tracks do not
    # divide. "maskprop" and "flow" only.
    linking.DIVISION = 0.0
    # Two detections in a frame never share an id (the paper's Eq. 5 would allow it).
    linking.EXCLUSIVE = True
    # A track's mask in a frame. "center": the detection there (paper). "average": the mean of all
    # clips that cover the frame. "fill": the detection, or that mean if the detector missed the
    # object.
    linking.FINAL_MASK = "center"
    # A track's score. "detections": the mean over its detections (paper). "video": that mean times
    # the fraction of the video in which it is seen, so that fragments rank below complete tracks.
    # "majority": the mean score of the detections, for the most frequent category alone, whatever
    # CLASS_FLOOR is; for mmtracking's MaskTrack R-CNN.
    linking.TRACK_SCORE = "detections"
    # A track is reported with its best category, and with each other one that has at least this
    # score.
    linking.CLASS_FLOOR = 1.0

    # Optical flow of "flow" and "ensemble": "dis" (OpenCV's, on the CPU), or torchvision's
    # "raft_small" or "raft_large".
    cfg.MODEL.MASKPROP.FLOW = CN()
    cfg.MODEL.MASKPROP.FLOW.MODEL = "dis"
    # File with RAFT's state_dict; if empty, torchvision downloads its own weights.
    cfg.MODEL.MASKPROP.FLOW.WEIGHTS = ""

    # MaskTrack R-CNN: add an embedding head, which must be trained, to the model. It always has one
    # if TRACKER is "masktrack".
    cfg.MODEL.MASKPROP.MASKTRACK = CN()
    cfg.MODEL.MASKPROP.MASKTRACK.ENABLED = False
    # Channels of its two fully connected layers.
    cfg.MODEL.MASKPROP.MASKTRACK.FC_DIM = 1024
    # "original", or "mmtracking" for weights of mmtracking or mmdetection: its head samples regions
    # differently and ends with a ReLU, and its tracker drops the weaker detections of an object.
    cfg.MODEL.MASKPROP.MASKTRACK.VARIANT = "original"
    cfg.MODEL.MASKPROP.MASKTRACK.LOSS_WEIGHT = 1.0

    # DeepSORT: number of frames without a detection after which a track ends, and maximum cosine
    # distance between the colour histograms of a detection and a track.
    cfg.MODEL.MASKPROP.DEEPSORT = CN()
    cfg.MODEL.MASKPROP.DEEPSORT.MAX_AGE = 30
    cfg.MODEL.MASKPROP.DEEPSORT.MAX_APPEARANCE_DISTANCE = 0.2

    # EnsembleVIS: maximum cosine distance between the colour histograms of tracklets that are
    # merged.
    cfg.MODEL.MASKPROP.ENSEMBLE = CN()
    cfg.MODEL.MASKPROP.ENSEMBLE.MAX_APPEARANCE_DISTANCE = 0.2
    # Its crop classifier: side of the crops in pixels, channels of the residual blocks, each at
    # half the resolution of the one before, and groups of their GroupNorm.
    crop_classifier = cfg.MODEL.MASKPROP.CROP_CLASSIFIER = CN()
    crop_classifier.CROP_SIZE = 128
    crop_classifier.CHANNELS = [64, 128, 256, 512]
    crop_classifier.NUM_GROUPS = 32

    # Channels of the four stages of the small ResNet of the MovingShapes models.
    cfg.MODEL.SMALL_RESNET = CN()
    cfg.MODEL.SMALL_RESNET.STAGE_CHANNELS = [32, 64, 128, 192]

    # "SGD" (Detectron2's default) or "ADAMW", which trains small models from scratch much faster.
    cfg.SOLVER.OPTIMIZER = "SGD"
    # Gradient accumulation: the IMS_PER_BATCH clips of an iteration are processed in this many
    # passes, and the optimizer uses the mean gradient. For REFERENCE_WORLD_SIZE, each pass counts
    # as a GPU. See docs/training.md.
    cfg.SOLVER.ACCUMULATE = 1
    # Evaluate and save a moving average of the weights with this decay per iteration: 0.999
    # averages over about the last 1000 iterations. 0: use the weights themselves.
    cfg.SOLVER.EMA_DECAY = 0.0
    # Parts that keep their weights from MODEL.WEIGHTS, such as ["backbone", "roi_heads.mask_*"]:
    # names of modules or weights in the model, or "detector" for everything that finds objects in a
    # frame (backbone, STSN, RPN, ROI heads, semantic branch). A frozen detector has no losses and
    # needs no memory for gradients: see docs/still_images.md.
    cfg.SOLVER.FROZEN = []
    # Learning rates of parts as multiples of BASE_LR, such as [["backbone", 0.1]]. If a weight
    # matches several entries, the last one is used.
    cfg.SOLVER.LR_FACTORS = []
    # CLIP_GRADIENTS.CLIP_TYPE may also be "full_model", to clip the norm over all weights.
    # Detectron2's "value" and "norm" clip the gradient of each weight separately.
