"""The pure core: resources, trees, edits, rules, statuses."""
