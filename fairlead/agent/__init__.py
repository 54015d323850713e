"""What runs inside an amphora."""
