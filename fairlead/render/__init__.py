"""Pure rendering: a tree becomes what an amphora runs."""
