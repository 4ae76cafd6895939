"""relay: outbox → broker. One leader publishes what transactions committed, in order."""
