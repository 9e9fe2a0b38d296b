"""Held calls and the humans who judge them: what is asked, who may answer, what becomes of it, and the channels between."""
