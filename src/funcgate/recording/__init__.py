"""What is recorded of a call, and how the record is read again. It refuses to know where the record is kept."""
