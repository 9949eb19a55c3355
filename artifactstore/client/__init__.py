"""What a client holds of a store: opening it, what is kept on this machine, going on after sweeps, and its answers."""
