"""Everyday nouns beside the classes: which stand there, and what they do to scores, bias and labels."""

import pytest
import torch
from torch.nn.functional import normalize

from ccd_fast.labels import FirstLabels
from ccd_fast.recipes import config
from ccd_fast.teacher import anchors
from ccd_fast.teacher.clip import Clip, Teacher
from ccd_fast.teacher.vocabulary import Vocabulary


class Engine:
    image_size, batch_size = 4, 2

    def __init__(self, embeddings):
        self.embeddings = embeddings

    def embed(self, pixels):
        return self.embeddings[: len(pixels)]


def clip_of(scale):
    class Tower:
        interpolation = "bicubic"

    return Clip("a clip", torch.nn.Module(), None, Tower(), scale)


@pytest.fixture
def embeds(monkeypatch):
    """Embed each noun along an axis of its own, but for couch and sofa, which are the same."""
    axes: dict[str, torch.Tensor] = {}

    def embed(clip, names, templates):
        return torch.stack([axes.setdefault(_one(name), torch.eye(400)[len(axes)]) for name in names])

    monkeypatch.setattr(anchors, "class_embeddings", embed)
    return lambda names: embed(None, names, [])


def _one(name):
    return "sofa" if name == "couch" else name


def test_what_names_a_class_or_the_same_thing_does_not_stand_beside_it(embeds):
    classes = ("Cats", "couch", "dining table", "person | man")
    beside, told = anchors.beside("everyday", clip_of(100.0), classes, embeds(classes), [])
    assert len(beside) == len(anchors.NOUNS) - 4
    assert "without person, cat, table, sofa, which it hardly tells from a class" in told
    assert anchors.beside("none", clip_of(100.0), classes, embeds(classes), []) == (None, "")


def test_no_noun_stands_twice():
    assert len(set(anchors.NOUNS)) == len(anchors.NOUNS) > 100


def test_the_anchors_take_their_share_of_the_softmax():
    axes = torch.eye(4)
    seen = normalize(torch.tensor([[1.0, 0.2, 0, 0], [0, 0.1, 1.0, 0]]), dim=1)
    judge = Teacher(clip_of(10.0), Engine(seen), Vocabulary(axes[:2], axes[2:]))
    similarities = judge.similarities(torch.zeros(2, 4, 4, 3))
    assert similarities.shape == (2, 4)
    scores = judge.scores(similarities)
    torch.testing.assert_close(scores, similarities.softmax(dim=1)[:, :2])
    assert scores[1].sum() < 0.01
    alone = Teacher(clip_of(10.0), Engine(seen), Vocabulary(axes[:2]))
    torch.testing.assert_close(alone.scores(alone.similarities(torch.zeros(2, 4, 4, 3))).sum(dim=1), torch.ones(2))


def test_a_photograph_of_something_else_counts_in_no_bias_and_gets_no_label():
    gathered = FirstLabels(3, 2, max_entropy=2.0, anchors=1)
    gathered.add(torch.arange(3), torch.tensor([[5.0, 0, 0], [0, 4.0, 0], [1.0, 0, 8.0]]))
    labels = gathered.finish(0.0, 1, True)
    assert gathered.named.tolist() == [True, True, False]
    assert labels.bias_counts.tolist() == [1, 1]
    assert labels.table.argmax(dim=1)[:2].tolist() == [0, 1]
    assert labels.table[2].max() < 0.01
    assert labels.table[0, 0] == 1


def test_where_no_class_is_on_top_labels_are_shares_of_what_else_is_seen():
    gathered = FirstLabels(2, 2, max_entropy=2.0, anchors=1)
    gathered.add(torch.arange(2), torch.tensor([[4.0, 0, 8.0], [0, 0, 8.0]]))
    labels = gathered.finish(0.0, 1, True)
    assert labels.bias_counts.tolist() == [0, 0]
    sure = torch.tensor([[4.0, 0, 8.0], [0, 0, 8.0]]).softmax(dim=1)[:, 2].mean()
    torch.testing.assert_close(labels.bias, sure.expand(2))
    assert labels.table.argmax(dim=0)[0] == 0
    assert labels.table.max() < 0.02


def test_they_stand_there_where_classes_are_few(monkeypatch):
    monkeypatch.setattr("ccd_fast.recipes.knobs.FEW_CLASSES", 8)
    labels = config.load("folder").labels
    assert [labels.anchors_for(classes) for classes in (2, 8, 9, 80)] == ["everyday", "everyday", "none", "none"]
    assert config.load("paper-voc12").labels.anchors_for(2) == "none"
    assert config.load("folder", ["labels.anchors=everyday"]).labels.anchors_for(80) == "everyday"
