"""What is shown: every value as blocks, and blocks as HTML, SVG and text."""
