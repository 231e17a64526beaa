"""Who is told of what needs a person, and when."""
