"""Procedural pedestrians: who they are (people), how they stand (pose), what they wear (figure), where (scene)."""
