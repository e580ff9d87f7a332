"""What drives one event store each, as a process of its own."""
