"""An agent whose clock is ten minutes late: `python -m tests.agent.late_clock FLAGS...`."""

from tests.agent import late

if __name__ == "__main__":
    late.run(600)
