"""What happened here, for whoever watches or comes back later."""
