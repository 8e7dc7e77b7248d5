"""Profiling a Django project: what its pages ask of the database, and advice that was tried before it is shown.

The guest (`workbench.guest`) observes inside the project's own process and answers in JSON; everything here works on
those observations: findings, proof by scaling, advice, the document.
"""
