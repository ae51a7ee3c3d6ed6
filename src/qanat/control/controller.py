"""The QKDN controller: routes out, demands in, orders to links. It plays the paper's quantum system server and quantum
control (steps 5 to 7), and never sees a key.

Its memory is not durable and need not be: key managers repeat their demands, and say at every announcement what they
hold, which table of routes they have and which orders they carry out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from qanat.control.books import Books, DemandBook, LinkBook, OrderBook, OrderFault, with_idle_level
from qanat.control.foretelling import Foretelling
from qanat.control.lines import SilentLines
from qanat.control.outages import Outages
from qanat.control.pacing import Pace
from qanat.control.policy import LinkOrder, decide
from qanat.control.pushing import Pushing
from qanat.control.ruling import Ruling
from qanat.control.settings import ControllerSettings
from qanat.control.silence import Silence, give_up_unmet, silence_of
from qanat.control.steering import Solve, Steering, solved_here
from qanat.control.tables import FindTables, Tables
from qanat.control.turning import Switchboard
from qanat.ground.errors import FrameError, RequestError, SwitchFailed
from qanat.ground.events import EventKind
from qanat.ground.identifiers import Epoch, EventId, LinkId, NodeId, OrderId, uuid4_from
from qanat.ground.messages import Message
from qanat.ground.network import Network
from qanat.ground.ports import Clock, Entropy, OpticalSwitch, Tasks, Transport
from qanat.ground.tracing import EventRecorder
from qanat.key_management.codec import decode_word
from qanat.key_management.courier import Courier
from qanat.key_management.memory import forget_oldest
from qanat.key_management.wire import (
    Announce,
    ControllerHere,
    ForecastsTold,
    GenerationCommand,
    GenerationDone,
    GenerationFailed,
    GenerationRequest,
    Heard,
    LinkReport,
    OrderCancel,
    OrderPoll,
    OrderState,
    RouteQuestion,
    Routes,
    StockReport,
)


class Controller:
    """One network's controller. ``run`` it as a task."""

    def __init__(
        self,
        *,
        network: Network,
        transport: Transport,
        clock: Clock,
        tasks: Tasks,
        entropy: Entropy,
        recorder: EventRecorder,
        settings: ControllerSettings | None = None,
        switches: Mapping[str, OpticalSwitch] | None = None,
        other: NodeId | None = None,
        is_awake: Callable[[NodeId], bool] = lambda _: True,
        is_opening: Callable[[NodeId], bool] = lambda _: False,
        may_hang: Callable[[NodeId], bool] = lambda _: True,
        expected: Sequence[tuple[NodeId, LinkReport]] = (),
        solve: Solve = solved_here,
        find_tables: FindTables | None = None,
    ) -> None:
        """``switches``: what drives each switch, by its name. ``other``: the name of the other controller, if any.
        ``is_awake``: who sleeps gets its routes when it wakes and announces itself; ``is_opening``, ``may_hang``: see
        ``Silence``; ``expected``: what holds of ends of links until they speak; ``solve``: finds shares;
        ``find_tables``: see ``Tables``."""
        self._is_awake = is_awake
        self._network = network
        self._transport = transport
        self._clock = clock
        self._tasks = tasks
        self._entropy = entropy
        self._recorder = recorder
        self._settings = settings or ControllerSettings()
        self._policy = with_idle_level(self._settings.policy, network)
        self._books = Books(network, is_awake=is_awake, expected=expected)
        self.foretelling = Foretelling(self._books, clock, self._policy)
        self._switchboard = Switchboard(network, switches or {}, recorder)
        self._answers: dict[str, tuple[GenerationDone | GenerationFailed, EventId | None]] = {}
        self._courier = Courier(transport=transport, entropy=entropy, epoch=Epoch(0))
        self.tables = Tables(network, self._books, find=find_tables)
        excused = {"is_awake": is_awake, "is_opening": is_opening, "may_hang": may_hang}
        self._silence = Silence(network, transport, clock, self._settings, **excused)
        self._lines = SilentLines(network, clock, recorder, **excused)
        self._outages = Outages(network, self._books, recorder, tries=self._settings.order_tries, lines=self._lines)
        self._steering = Steering(
            network,
            self._books,
            self._outages,
            self._courier,
            recorder,
            clock=clock,
            tasks=tasks,
            is_awake=is_awake,
            solve=solve,
            turning_share=self._policy.turning_share,
        )
        self._pace = Pace(self._act, clock=clock, tasks=tasks, name="controller: acts")
        takes_over_s = self._settings.takeover_after_s
        self._ruling = Ruling(transport.local, other, takeover_after_s=takes_over_s, now_s=clock.monotonic_s())
        self._pushing = Pushing(self.tables, self._courier, tasks, rules=lambda: self._ruling.rules)

    async def run(self) -> None:
        """Push routes, unless another controller does, then hear key managers until the transport closes."""
        self._recorder.record(EventKind.NODE_STARTED)
        await self._look_who_rules()
        self._tasks.start(self._chores(), name="controller: chores")
        async for sender, message in self._transport.inbox():
            try:
                await self._hear(sender, message)
            except (FrameError, RequestError) as fault:
                self._recorder.alarm("odd-word", f"{sender}: {fault.message}", fault.remedy, about=sender)

    # --- ruling ---

    async def _look_who_rules(self) -> None:
        """Begin or cease to rule, and tell the other controller."""
        ruling, now_s = self._ruling, self._clock.monotonic_s()
        if ruling.is_to_end(self._courier.epoch):
            self._stand_down()
        elif ruling.is_to_begin(now_s=now_s):
            await self._begin_to_rule()
        if ruling.other is not None:
            await self._courier.send(ruling.other, ControllerHere(self._courier.epoch, ruling.rules))
        ruling.tell_silence(self._recorder, now_s=now_s)

    async def _begin_to_rule(self) -> None:
        """Take an epoch of one's own, which tells the tables of two controllers, or of two lives, apart."""
        self._ruling.rules = True
        self._courier.epoch = Epoch(self._ruling.next_epoch(utc_s=self._clock.utc_s()))
        self.tables.note_widths(self._outages)
        self._switchboard.forget(self._books)
        self._books.switches_rest_until_s = self._clock.monotonic_s() + self._settings.read_back_s
        self._recorder.record(EventKind.CONTROLLER_RULES, epoch=self._courier.epoch)
        for node in self._network.nodes:
            if self._is_awake(node):
                await self._pushing.push(node)
            elif self._switchboard.all_have_announced(node):  # who sleeps does nothing
                self._books.switches_rest_until_s = -math.inf

    def _give_way(self, epoch: int) -> None:
        """A key manager follows a higher epoch: of the other controller, or of a life before this, by another clock."""
        if self._ruling.other is None:
            self._courier.epoch = Epoch(self._ruling.next_epoch(utc_s=self._clock.utc_s()))
        else:
            self._ruling.hear(ControllerHere(epoch, rules=True), now_s=self._clock.monotonic_s())
            self._stand_down()

    def _stand_down(self) -> None:
        """The other rules: it hears of all orders by itself, and is asked again for all that is wanted."""
        self._ruling.rules = False
        self._books.orders.clear()
        self._books.demands.clear()
        self._steering.forget()
        self._outages.hand_over()
        self._recorder.record(EventKind.CONTROLLER_STANDS_BY, epoch=self._courier.epoch)

    # --- hearing ---

    async def _hear(self, sender: NodeId, message: Message) -> None:
        heard = Heard(sender, decode_word(message), message.cause, message.body)
        self._silence.hear(sender)
        self._lines.hear(sender, heard.word)
        match heard.word:
            case ControllerHere() as word if sender == self._ruling.other:
                self._ruling.hear(word, now_s=self._clock.monotonic_s())
                return
            case Announce() as word:
                await self._on_announce(sender, word)
            case ForecastsTold() as word:
                self.foretelling.hear(sender, word)
            case StockReport() as word:
                self.foretelling.note_stock(sender, word.link_id, word.available_bits)
                self._books.note_stock(sender, word.link_id, word.available_bits, block_bits=word.block_bits)
            case GenerationRequest() | OrderState() | RouteQuestion() if not self._ruling.rules:
                return  # said again to who rules
            case RouteQuestion() as word:
                told = self.tables.answer(word, sender, self._outages, self._courier.epoch)
                await self._courier.send(sender, told, cause=heard.cause)
                return
            case GenerationRequest() as word:
                await self._on_request(heard, word)
            case OrderState() as word:
                await self._on_order_state(sender, word)
            case word:
                raise FrameError(f"a key manager may not say {type(word).__name__} to the controller")
        await self._pace.soon()

    async def _on_announce(self, sender: NodeId, word: Announce) -> None:
        links = [self._books.links[report.link_id] for report in word.links if report.link_id in self._books.links]
        before = [(book.origin, book.rate_bits_per_s > 0) for book in links]
        for report in word.links:
            self.foretelling.note_stock(sender, report.link_id, report.available_bits)
            self._books.note_report(sender, report, certificate_ended=word.certificate_ended)
            if self._ruling.rules:
                self._adopt(report)
        self._ruling.note_epoch(word.table_epoch)
        if self._switchboard.all_have_announced(sender):
            self._books.switches_rest_until_s = -math.inf
        if before != [(book.origin, book.rate_bits_per_s > 0) for book in links]:
            self.tables.renew(self._outages)
        if self._ruling.rules and word.table_epoch > self._courier.epoch:
            self._give_way(word.table_epoch)
        if not self._ruling.rules:
            return
        if self.tables.is_to_push(sender, word, self._courier.epoch, now_s=self._clock.monotonic_s()):
            await self._pushing.push(sender)
        await self._steering.tell(sender)

    def _adopt(self, report: LinkReport) -> None:
        """Follow an order of an earlier life of this controller to its end."""
        if report.running is None or report.running in self._books.orders or self._books.order_on(report.link_id):
            return
        if report.link_id in self._books.links and self._network.link(report.link_id).makes_key_on_order:
            order = self._enter_order(report.running, report.link_id, num_blocks=1, cause=None, demand_ids=())
            order.is_adopted = True

    async def _on_request(self, heard: Heard, word: GenerationRequest) -> None:
        """A demand: find its route (step 6). Repeated demands are not recorded again; answered ones get the answer."""
        if word.source != heard.sender:
            raise FrameError(f"{heard.sender!r} asks for key in the name of {word.source!r}")
        self._steering.note(word)
        if word.demand_id in self._answers:
            await self._send_answer(word)
            return
        if (known := self._books.demands.get(word.demand_id)) is not None:
            self._books.note_repeated(known, word, now_s=self._clock.monotonic_s())
            return
        for shortage in word.short:
            self._books.note_shortage(shortage)
        routes = word.routes or self.tables.own_routes(word)
        if not routes or not self.tables.are_allowed(routes):
            failed = GenerationFailed(word.demand_id, self.tables.why_none(word, routes))
            await self._courier.send(word.source, failed)
            return
        hops = self._hops(word, routes)
        if hopeless := self._hopeless(word, routes, hops):
            await self._courier.send(word.source, self._outages.with_remedy(word, hopeless))
            return
        event = self._recorder.record(
            EventKind.GENERATION_ROUTE_FOUND,
            cause=heard.cause,
            request_id=word.request_id,
            route=list(routes[0]),
            routes=[list(route) for route in routes],
        )
        self._books.demands[word.demand_id] = DemandBook(word, routes, hops, event.id, self._clock.monotonic_s())

    def _hops(self, word: GenerationRequest, routes: Routes) -> tuple[tuple[LinkId, NodeId], ...]:
        """Return the hops of a demand, each once; raises FrameError for routes that join others, UnknownNode for hops
        that are none."""
        if any(route[:1] != (word.source,) or route[-1:] != (word.target,) for route in routes):
            raise FrameError(f"{word.source!r} asks for key to {word.target!r} on routes that do not join the two")
        hops = [hop for route in routes for hop in pairwise(route)]
        return tuple(dict.fromkeys((self._network.link_between(here, there).link_id, here) for here, there in hops))

    def _hopeless(
        self, word: GenerationRequest, routes: Routes, hops: tuple[tuple[LinkId, NodeId], ...]
    ) -> GenerationFailed | None:
        """Return why a demand need not even be begun, or None."""
        if (silent := self._silence.on(routes)) is not None:
            return silence_of(word.demand_id, silent)
        now_s, tries = self._clock.monotonic_s(), self._settings.order_tries
        if (out := self.foretelling.out_on(word, hops)) is not None:
            return out
        failing = self._books.failing_link(hops, needed_bits=word.needed_bits, tries=tries, now_s=now_s)
        return None if failing is None else self._failure(word.demand_id, failing)

    async def _on_order_state(self, sender: NodeId, word: OrderState) -> None:
        """One end says how an order stands; when it has ended for one, it ends for both."""
        order = self._books.orders.get(word.order_id)
        if order is None or sender not in order.states:
            return
        order.states[sender] = word
        if order.has_ended:
            self._close(order)
        elif word.state == "unknown" or (word.state == "ended" and word.fault):
            await self._cancel(order, word.fault or f"{sender} has restarted")

    # --- acting ---

    async def _act(self) -> None:
        """Let the policy decide on what is known now, and carry it out.

        The books are changed before the first word goes out, so that two of these never decide on the same facts.
        """
        if not self._ruling.rules:
            return
        hopeless = self._give_up_hopeless()
        orders = decide(self.foretelling.view(), self._policy)
        begun = [self._begin(link_order) for link_order in orders.generate]
        self._books.note_waits(orders.waits_for, now_s=self._clock.monotonic_s())
        for demand_id in (*orders.waits_for, *orders.satisfied):
            self._record_ordered(self._books.demands[demand_id], orders.waits_for.get(demand_id, ()))
        for order in begun:
            order.cause = next((demand.ordered for demand in self._books.open_demands(order)), None)
        done = [self._satisfy(demand_id) for demand_id in orders.satisfied]
        for order in begun:
            if order.awaits_turn:
                self._tasks.start(self._turn(order), name=f"controller: switches turn to {order.link_id}")
            else:
                await self._command(order)
        for demand in (*hopeless, *done):
            await self._send_answer(demand.word)

    def _give_up_hopeless(self) -> list[DemandBook]:
        """Close the demands whose orders have failed too often, or that wait for a module that is away; return them."""
        tries = self._settings.order_tries
        for demand_id, demand in self._books.demands.items():
            if (away := self._books.away_link(demand)) is not None:
                demand.failed_orders, demand.failure = tries, self._failure(demand_id, away)
        hopeless = [demand for demand in self._books.demands.values() if demand.failed_orders >= tries]
        for demand in hopeless:
            assert demand.failure is not None, "who has failed knows why"
            self._close_demand(demand, self._outages.with_remedy(demand.word, demand.failure))
        return hopeless

    def _begin(self, link_order: LinkOrder) -> OrderBook:
        order = self._enter_order(
            OrderId(uuid4_from(self._entropy.public_bytes(16))),
            link_order.link_id,
            num_blocks=link_order.num_blocks,
            cause=None,
            demand_ids=link_order.demand_ids,
        )
        order.awaits_turn = self._books.turns.begin(order.link_id, num_blocks=order.num_blocks)
        return order

    async def _turn(self, order: OrderBook) -> None:
        """Turn the switches to an order's link, then let both ends hear of it. If one does not turn, it has failed."""
        try:
            turned = await self._switchboard.turn(order.link_id)
        except SwitchFailed as fault:
            order.turn_fault = OrderFault(fault.message, fault.remedy, by_module=True)
        if order.order_id not in self._books.orders:  # given up meanwhile
            return
        if order.turn_fault is not None:
            self._close(order)
            await self._act()
            return
        order.awaits_turn = False
        self._books.turns.turned(order.link_id)
        demands = self._books.open_demands(order)
        demands.sort(key=lambda demand: demand.ordered is not None)  # it turns for those who have waited for just this
        order.cause = self._switchboard.record_turn(order.link_id, turned, demands)
        for number, demand in enumerate(demands):
            self._record_ordered(demand, (order.link_id,), cause=None if number else order.cause)
        if demands:
            order.cause = demands[0].ordered
        await self._command(order)

    def _satisfy(self, demand_id: str) -> DemandBook:
        demand = self._books.demands[demand_id]
        self._books.spend(demand)
        self._close_demand(demand, GenerationDone(demand_id))
        return demand

    def _record_ordered(self, demand: DemandBook, links: tuple[LinkId, ...], *, cause: EventId | None = None) -> None:
        """Record step 7 once per demand: the links whose key it waits for, by orders of its own or of others; not while
        all of them wait for switches. ``cause``: step 6, or the switch that has turned since."""
        if demand.ordered is not None or (links and all(map(self._books.awaits_switch, links))):
            return
        event = self._recorder.record(
            EventKind.GENERATION_ORDERED,
            cause=cause or demand.found,
            request_id=demand.word.request_id,
            links=list(links),
        )
        demand.ordered = event.id

    def _enter_order(
        self,
        order_id: OrderId,
        link_id: LinkId,
        *,
        num_blocks: int,
        cause: EventId | None,
        demand_ids: tuple[str, ...],
    ) -> OrderBook:
        self._books.links[link_id].is_to_try = False
        order = self._books.orders[order_id] = OrderBook(
            order_id=order_id,
            link_id=link_id,
            num_blocks=num_blocks,
            cause=cause,
            deadline_monotonic_s=self._clock.monotonic_s() + self._settings.order_timeout_s,
            demand_ids=demand_ids,
            states=dict.fromkeys(self._books.links[link_id].ends),
        )
        return order

    async def _command(self, order: OrderBook) -> None:
        """Say an order to the ends that have not heard it, ask the others how it stands."""
        if order.awaits_turn:
            return
        for end, state in list(order.states.items()):
            if order.cancelled:
                await self._courier.send(end, OrderCancel(order.order_id, order.link_id, order.cancelled))
            elif state is None and not order.is_adopted:
                command = GenerationCommand(order.order_id, order.link_id, order.num_blocks)
                await self._courier.send(end, command, cause=order.cause)
            elif state is None or state.state == "running":
                await self._courier.send(end, OrderPoll(order.order_id, order.link_id))

    async def _cancel(self, order: OrderBook, why: str) -> None:
        order.cancelled = order.cancelled or why
        await self._command(order)

    def _close(self, order: OrderBook) -> None:
        """An order has ended at both ends: charge its fault, if any, to the demands that wait for it, and let the link
        rest before the next try."""
        del self._books.orders[order.order_id]
        book = self._books.links[order.link_id]
        if (fault := order.fault) is None:
            book.failures_in_a_row = book.restarts_in_a_row = 0
            book.last_fault = None
            self._outages.order_succeeded(order.link_id)
            return
        is_restart = fault.by_restart and book.restarts_in_a_row < self._settings.restart_tries
        if is_restart:  # it says nothing of the link, and fails no demand
            self._rest(book, times=book.restarts_in_a_row, longest_s=self._settings.longest_restart_pause_s)
            book.restarts_in_a_row += 1
            return
        self._rest(book, times=book.failures_in_a_row, longest_s=self._settings.longest_order_pause_s)
        book.failures_in_a_row += 1
        book.last_fault = fault
        for demand_id in order.demand_ids:
            if demand := self._books.demands.get(demand_id):
                demand.failed_orders = max(demand.failed_orders + 1, book.failures_in_a_row)
                choices, graph = self.tables.choices(demand.word.source), self.tables.key_graph
                now_s = self._clock.monotonic_s()
                if fault.by_module and self._outages.goes_round(demand.word, choices, graph, now_s=now_s):
                    demand.failed_orders = self._settings.order_tries
                demand.failure = self._failure(demand_id, order.link_id)

    def _rest(self, book: LinkBook, *, times: int, longest_s: float) -> None:
        """Let a link rest, twice as long for each of the ``times`` that it has rested in a row."""
        pause_s = self._settings.order_pause_s * 2.0 ** min(times, 30)
        book.rests_until_s = self._clock.monotonic_s() + min(pause_s, longest_s)

    def _failure(self, demand_id: str, link_id: LinkId) -> GenerationFailed:
        """Return why a demand cannot be met, from the last fault of the link that stands in its way."""
        book = self._books.links[link_id]
        fault, why = book.fault, f"link {link_id}: "
        assert fault is not None, "a link that fails has said why"
        return GenerationFailed(demand_id, why + fault.text, fault.remedy, fault.by_module, again_s=book.again_s)

    def _close_demand(self, demand: DemandBook, answer: GenerationDone | GenerationFailed) -> None:
        del self._books.demands[demand.word.demand_id]
        self._answers[demand.word.demand_id] = (answer, demand.ordered)
        forget_oldest(self._answers, keep=self._settings.closed_demands_kept)

    async def _send_answer(self, word: GenerationRequest) -> None:
        answer, cause = self._answers[word.demand_id]
        await self._courier.send(word.source, answer, cause=cause)

    # --- chores ---

    async def _chores(self) -> None:
        """Every tick: repeat orders, end those that take too long, try links again that have rested."""
        while True:
            await self._clock.sleep_until(self._clock.monotonic_s() + self._settings.tick_s)
            await self._look_who_rules()
            self._recorder.settle_alarms()
            if not self._ruling.rules:
                continue
            for order in list(self._books.orders.values()):
                await self._chase(order)
            self._silence.look()
            self._books.forget_unrepeated(now_s=self._clock.monotonic_s())
            give_up_unmet(self._books, self._silence, self.foretelling, tries=self._settings.order_tries)
            if self._outages.look(self._silence.nodes, now_s=self._clock.monotonic_s()):
                self.tables.renew(self._outages)
            self._steering.look()
            await self._act()

    async def _chase(self, order: OrderBook) -> None:
        late_s = self._clock.monotonic_s() - order.deadline_monotonic_s
        if late_s > self._settings.order_timeout_s:  # the ends do not even answer: go on without them
            order.cancelled = order.cancelled or "its ends do not answer"
            self._close(order)
        elif late_s > 0:
            await self._cancel(order, f"not ended within {self._settings.order_timeout_s:g} s")
        else:
            await self._command(order)
