"""An agent whose host's clock was set back by a year: `python -m tests.agent.year_ago FLAGS...`."""

from tests.agent import late

if __name__ == "__main__":
    late.run(365 * 24 * 3600)
