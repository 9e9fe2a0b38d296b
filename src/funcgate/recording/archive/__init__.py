"""Finished segments, compressed so that any line can still be read by its place. Changes no byte of what a reader sees."""
