"""Single-turn questions with known answers: where they come from, and whether a text answers them."""
