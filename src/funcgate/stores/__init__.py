"""Where things are kept: adapters for the ports of core/ports.py. They import core and nothing else of funcgate."""
