from .hybrid_task_cascade import HybridTaskCascadeHeads
from .maskprop_heads import MaskPropROIHeads
from .semantic import SemanticBranch

__all__ = ["HybridTaskCascadeHeads", "MaskPropROIHeads", "SemanticBranch"]
