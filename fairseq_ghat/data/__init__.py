"""The folder that scripts/prepare_data.py makes."""
