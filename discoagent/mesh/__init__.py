"""The mesh: the sockets between agents, and the only code that knows ZeroMQ on the wire's side."""
