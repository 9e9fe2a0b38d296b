"""The routes of the admin API, one file for each kind of thing. They decide nothing themselves."""
