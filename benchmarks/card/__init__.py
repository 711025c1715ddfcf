"""What ``on_a_card.sh`` is made of."""
