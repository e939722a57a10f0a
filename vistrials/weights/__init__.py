"""Files of weights, and where a network starts from: own ones, backbones, checkpoints of other programs."""
