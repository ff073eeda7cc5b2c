"""Where the truth of a bet is read: no author writes it down."""
