"""The standing experiment in answers: whose arm, what is withheld or tried out, with which chance."""
