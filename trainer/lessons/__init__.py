"""How the engine has subjects learned: lessons from the first class image to the last weight."""
