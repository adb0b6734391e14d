"""Which heads stay: importances, passes over calibration data, the vote, and the removal of heads for good."""
