"""What is found out about a record: one file per kind of field. Data loads on first use."""
