"""How sizes and times are written in the file. source.py and settings.py read them."""

Size = str | int
Time = str | int | float
