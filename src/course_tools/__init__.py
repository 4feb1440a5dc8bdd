"""What builds, measures, publishes and grades the course; it lives in a checkout only."""
