"""Golden scenarios: stories of the protocol, each with what every agent shows of it."""
