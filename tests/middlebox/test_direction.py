from mbtest.middlebox import Direction


def test_each_way_has_the_other_as_its_reverse() -> None:
    for way in Direction:
        assert way.reverse is not way
        assert way.reverse.reverse is way
