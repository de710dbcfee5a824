"""What every page and comment stands on: text that stays text, templates, the frame of a page."""
