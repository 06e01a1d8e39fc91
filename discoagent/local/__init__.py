"""What only this host knows: owners, lifetimes, and what applications ask of their agent."""
