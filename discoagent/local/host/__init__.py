"""What the kernel of this host tells: who asks and owns, how processes end, what we may."""
