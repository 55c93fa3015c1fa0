"""What is pressed: forms and the Deploy panel."""
