"""What a trial says: settings, their defaults and checks, and how YAML files become one. No torch here."""
