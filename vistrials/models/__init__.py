"""The network, part by part: backbone, pyramid, neck, proposals, heads for boxes, masks, tracks, propagation."""
