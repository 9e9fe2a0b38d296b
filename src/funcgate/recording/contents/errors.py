"""Why content cannot be had. The texts are for the operator; none of them holds a key or a word of the content."""


class ContentError(Exception):
    """Content that cannot be had. Its text says which, and what to do."""


class Missing(ContentError):
    """It is not where it was put, and the record of expiries does not know why."""


class Away(Missing):
    """It lies in another folder than the data folder, and that folder is not there now: not mounted, say."""


class Expired(ContentError):
    """It was there, and was deleted as the retention says."""


class Altered(ContentError):
    """It is there, and is not what was put there."""


class WrongKey(ContentError):
    """The configured key is not the one that the content keys are wrapped under."""
