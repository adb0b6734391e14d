"""What can go wrong with a corpus and is no fault of the program."""


class CorpusError(ValueError):
    """A file, site or option that does not serve; its message names it and says what to do."""


class NotThere(CorpusError):
    """A site that answers, but does not have the file (or does not hand it out)."""
