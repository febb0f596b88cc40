"""FLUX.2 [klein]: a flow-matching transformer that reads prompts by Qwen3.

`family.py` is what others ask before a model is loaded, `model.py` what they do with one. Nothing else is imported from
outside.
"""
