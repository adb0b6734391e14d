"""The texts of the quickstarts: sentence pairs of a synchronous grammar, and the English that Python ships."""
