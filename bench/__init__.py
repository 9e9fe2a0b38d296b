"""Side-by-side cost of one call: funcgate, Envoy, an aiohttp proxy, nginx and nothing at all, on one machine in one run.

It refuses to compare what it has not first seen to work: each peer must carry, refuse and mask as claimed before it is timed.
"""
