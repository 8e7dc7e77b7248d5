"""The policies: plain Python without Django, with time, sleep and randomness as arguments."""
