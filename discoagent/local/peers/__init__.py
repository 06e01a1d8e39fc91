"""The other agents as this host meets them: looked for, heard, judged."""
