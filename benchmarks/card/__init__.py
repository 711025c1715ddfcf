"""What ``on_a_card.sh`` is made of: a plan of parts, what runs them within their limits, and the parts themselves."""
