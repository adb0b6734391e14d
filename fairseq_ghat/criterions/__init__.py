"""Criteria that fairseq registers. --user-dir does not import this folder by itself: the package does."""
