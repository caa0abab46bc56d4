import torch

from tasks.randomness import entropy, numpy_generator, torch_generator


def test_a_stream_depends_on_its_name_alone() -> None:
    first = numpy_generator(1, "prepare", "sample", 5, 0).random(4)
    numpy_generator(1, "prepare", "sample", 6, 0).random(100)
    assert (numpy_generator(1, "prepare", "sample", 5, 0).random(4) == first).all()


def test_names_that_read_alike_when_joined_are_different_streams() -> None:
    names = [("ab", "c"), ("a", "bc"), ("abc",), ("ab", "c", 0), ("ab", "c", 1)]
    assert len({entropy(1, *name) for name in names}) == len(names)
    assert entropy(1, "a") != entropy(2, "a")


def test_torch_streams_repeat_and_leave_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    draws = [torch.rand(3, generator=torch_generator(1, "x", 7)) for _ in range(2)]
    assert torch.equal(*draws)
    assert torch.equal(torch.random.get_rng_state(), before)
