# The text of link.py is compiled as it is, and takes the place of the same names there.
