"""What edited models answer: ask, test, calibrate, prompts that another edit catches."""
