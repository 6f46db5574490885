"""RabbitMQ, or its double in memory, behind one port."""
