"""What applications ask, as values: read, answered out of the replica, told."""
