"""What a registry needs: its status, its bundles, what nothing reaches any more."""
