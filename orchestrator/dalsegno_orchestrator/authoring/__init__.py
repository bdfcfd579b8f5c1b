"""How a person writes a workflow: YAML files and Python builders."""
