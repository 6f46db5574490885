"""The engine: consume, claim, run the chain, record, settle."""
