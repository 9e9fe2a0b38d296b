"""The record in other tools' words: formats, and exports of a range of the journal that can be interrupted.

What leaves is what the journal holds, masked as it is there; never more.
"""
