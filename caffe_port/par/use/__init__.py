"""Trained networks of the paper on pictures, folders and videos: attributes, parts of the body, label maps."""
