"""Train a script and its conversion side by side on stand-ins, and compare them step by step.

The comparison is one of numbers: loss, learning rate, gradient norm and number of loss tokens of
every optimizer step. Both scripts run unmodified in processes of their own; `harness` is the only
part that imports training libraries, and only there.
"""
