"""Whether edits do what they claim: answers of the bare and the edited model, and their scores."""
