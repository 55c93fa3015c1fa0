"""The floor that a person meets: magics, widgets, views. The only one that knows IPython, ipywidgets and pandas."""
