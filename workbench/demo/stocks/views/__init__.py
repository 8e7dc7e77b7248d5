"""The views, by noun.

Every view that reads the database carries ``@database_retry``, and so does the order transaction: with that part of
``STALWART`` off the decorator calls straight through, so that both arms of a drill run this very code.
"""
