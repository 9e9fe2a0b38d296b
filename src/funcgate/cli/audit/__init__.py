"""The verbs of `funcgate audit`, one file each. They read the journal folder, beside a running gateway or without one."""
