"""How good a subject is: who looks at pictures, and what that amounts to."""
