// Small repairs of the theme; each says what it mends.
