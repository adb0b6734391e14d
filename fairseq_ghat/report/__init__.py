"""One page about training runs: what their folders say, pictures of it, and the page."""
