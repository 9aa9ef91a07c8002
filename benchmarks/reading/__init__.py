"""Files whose pictures carry their number, and the programs that read them."""
