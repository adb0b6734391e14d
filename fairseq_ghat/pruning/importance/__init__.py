"""Ways to choose the heads that stay, one a file."""
