"""How good a subject is: embedders, similarity, the report card, and the metrics of DreamBooth's paper.

It measures pictures, and neither trains nor stores anything.
"""
