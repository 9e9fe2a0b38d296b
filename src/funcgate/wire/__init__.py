"""Pure codecs, bytes to messages and back: no I/O, no event loop, no threads."""
