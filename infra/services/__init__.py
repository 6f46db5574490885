"""RabbitMQ, Redis and MariaDB from installed binaries: for `./task services`, and for the tests."""
