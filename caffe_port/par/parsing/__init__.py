"""The body parser: the network that gives RAP and PETA their segmentation truth (section 4.2), and its use."""
