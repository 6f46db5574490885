"""Stepline and its peers on the same work, on the same services, in one run (`./task bench`)."""
