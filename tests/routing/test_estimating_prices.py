"""What is reserved for a request in whole picodollars is what exact decimals make of it, wherever a price allows it."""

from decimal import Decimal

from hypothesis import assume, example, given
from hypothesis import strategies as st

from gateway.ledger.cost import Period, Price, Rates, Tier
from gateway.routing import estimating

PRICES = st.decimals(0, 100, places=15) | st.integers(0, 10**9).map(lambda millionths: Decimal(millionths).scaleb(-12))
"""USD, some finer than a picodollar."""


def price(read: Decimal, written: Decimal, thought: Decimal, call: Decimal, *more: Tier) -> Price:
    rates = Rates(read, written, read, read, read, thought, call)
    return Price("config", "", (Period((Tier(-1, rates), *more)),))


@given(
    rates=st.tuples(PRICES, PRICES, PRICES, PRICES),
    read=st.integers(0, 10**7),
    calls=st.integers(1, 128 * 20),
    written=st.integers(0, 10**9),
)
@example(rates=(Decimal("1.5e-6"), Decimal("2e-6"), Decimal("3e-6"), Decimal("1e-12")), read=7, calls=3, written=16)
@example(rates=(Decimal(0),) * 4, read=0, calls=1, written=0)
def test_a_price_of_whole_picodollars_is_summed_up_in_integers(
    rates: tuple[Decimal, Decimal, Decimal, Decimal], read: int, calls: int, written: int
):
    one = price(*rates)
    plain = estimating._plain(one)
    assert (plain is None) == any(
        each.scaleb(12) != int(each.scaleb(12)) for each in (rates[0], max(rates[1], rates[2]), rates[3])
    )
    assume(plain is not None)
    assert plain is not None
    summed = calls * (read * plain[0] + plain[2]) + written * plain[1]
    assert summed == estimating._money(one, read, calls, written)


def test_a_price_with_tiers_or_times_is_not():
    plain = (Decimal("1e-6"),) * 3
    dearer = price(*plain, Decimal(0)).periods[0].tiers[0].rates
    assert estimating._plain(price(*plain, Decimal(0))) == (10**6, 10**6, 0)
    assert estimating._plain(price(*plain, Decimal(0), Tier(1000, dearer))) is None
    once = price(*plain, Decimal(0)).periods
    assert estimating._plain(Price("config", "", once * 2)) is None
    assert estimating._plain(None) == (0, 0, 0)
