"""What the bytes of a response are spent on, what they cost on a network, and what would make them fewer: tried, not guessed."""
