"""The words of funcgate: what a call is, who makes it, what was decided, what was recorded.

Standard library and msgspec only. Knows no protocol, no file format, no event loop.
"""
