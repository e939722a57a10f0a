"""Commands by subject: parse, call what does the work, print.

Heavy imports stay inside the commands, so that help and mistakes answer at once.
"""
