"""What an operator asks: how this agent is, why, and what is wrong with its set-up."""
