"""The texts that views are compared with."""

import torch

from ccd_fast.teacher import Vocabulary

VIEWS, TEXTS = torch.randn(5, 8, generator=torch.Generator().manual_seed(0)), torch.eye(8)


def test_without_kinds_the_similarities_are_the_products_themselves():
    found = Vocabulary(TEXTS[:3], TEXTS[3:5]).similarities(VIEWS, 2.0)
    assert torch.equal(found, 2.0 * (VIEWS @ TEXTS[:5].T))


def test_a_class_has_the_odds_of_its_own_text_and_its_kinds_over_the_root_of_their_number():
    words = Vocabulary(TEXTS[:3], TEXTS[3:5], {2: TEXTS[5:7], 0: TEXTS[7:]})
    shares = words.similarities(VIEWS, 3.0).softmax(dim=1)
    odds = (3.0 * VIEWS @ TEXTS.T).exp()
    of_two, of_three = odds[:, [0, 7]].sum(dim=1) / 2**0.5, odds[:, [2, 5, 6]].sum(dim=1) / 3**0.5
    own = [of_two, odds[:, 1], of_three, odds[:, 3], odds[:, 4]]
    wanted = torch.stack(own, dim=1) / torch.stack(own, dim=1).sum(dim=1, keepdim=True)
    torch.testing.assert_close(shares, wanted)
    assert words.anchors == 2 and words.classes.shape == (3, 8)


def test_a_row_does_not_depend_on_its_neighbours():
    words = Vocabulary(TEXTS[:3], None, {1: TEXTS[5:8]})
    together = words.similarities(VIEWS, 3.0)
    assert torch.equal(words.similarities(VIEWS.roll(1, 0), 3.0), together.roll(1, 0))
