"""What the controller hears of the time to come and of what is spent: forecasts of its operator and of key managers."""

from __future__ import annotations

from collections.abc import Sequence

from qanat.control.books import Books
from qanat.control.forecasting import Forecasts, Foresight
from qanat.control.views import NetworkView, Policy
from qanat.ground.clock import format_utc
from qanat.ground.errors import ConfigurationError, FrameError
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.ports import Clock
from qanat.key_management.wire import ForecastsTold, GenerationFailed, GenerationRequest


class Foretelling:
    """Keeps what is foretold of the links in the books, and adds it to what the policy decides on."""

    def __init__(self, books: Books, clock: Clock, policy: Policy) -> None:
        self._books = books
        self._clock = clock
        self._policy = policy
        self._foresight = Foresight(policy, now_s=clock.monotonic_s())

    def renew(self, forecasts: Forecasts) -> None:
        """From now on the operator foretells this, and nothing else."""
        self._foresight.renew(forecasts)

    def hear(self, sender: NodeId, word: ForecastsTold) -> None:
        """A node foretells something of its links; raises FrameError for links of others, and for what cannot be."""
        for one in word.forecasts:
            if not self._is_end(sender, one.link_id):
                raise FrameError(f"{sender!r} foretells something of {one.link_id!r}, which is no link of its own")
        try:
            self._foresight.renew_from(sender, word.forecasts)
        except ConfigurationError as fault:
            raise FrameError(fault.message, remedy=fault.remedy) from None

    def note_stock(self, node: NodeId, link_id: LinkId, available_bits: int) -> None:
        """An end says what it has to send under: what it has less was spent."""
        if self._is_end(node, link_id):
            self._foresight.demand.note_stock((link_id, node), available_bits, now_s=self._clock.monotonic_s())

    def view(self) -> NetworkView:
        """Return what the policy decides on: where idle time fills links all of them, else those of which something is
        foretold too. Of hundreds of links that nobody asks for a view would take most of the time of a decision."""
        now_s, foresight = self._clock.monotonic_s(), self._foresight
        with_links = self._books.links if self._policy.idle_level_bits > 0 else foresight.forecasts.links
        view = self._books.view(now_s=now_s, with_links=with_links)
        return foresight.applied(view, utc_s=self._clock.utc_s(), now_s=now_s)

    def out_on(self, word: GenerationRequest, hops: Sequence[tuple[LinkId, NodeId]]) -> GenerationFailed | None:
        """Return why a demand will not be met by links that are out, as was foretold, and hold too little; or None."""
        for link_id, node in hops if self._foresight else ():
            now_s = self._clock.utc_s()
            until_s = self._foresight.forecasts.out_until_utc_s(link_id, utc_s=now_s)
            if until_s is not None and self._books.links[link_id].available_bits.get(node, 0) < word.needed_bits:
                why = f"link {link_id}: it is out until {format_utc(until_s)}, as was foretold"
                given_s = self._foresight.forecasts.given_by_utc_s(link_id, from_utc_s=until_s)
                if given_s is not None and not self._books.is_ordered(link_id):  # a pass gives its key at its end
                    why, until_s = f"{why}, and gives key by {format_utc(given_s)} then", given_s
                remedy = "ask again then; another way is taken where there is one"
                return GenerationFailed(word.demand_id, why, remedy, again_s=until_s - now_s)
        return None

    def _is_end(self, node: NodeId, link_id: LinkId) -> bool:
        return link_id in self._books.links and node in self._books.links[link_id].ends
