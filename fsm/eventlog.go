package fsm

import (
	"context"
	"math"

	"github.com/holdfastdb/holdfast/session"
)

const (
	// eventPiece is how many events are looked at while writers wait.
	eventPiece = 256
	// maxEventsRead is how many events are looked at for one page. Where so many
	// hold fewer than the page may, it says where to go on.
	maxEventsRead = 200_000
)

// ListEvents gives the events that are kept, the oldest first.
func (s *Sessions) ListEvents(ctx context.Context, q session.ListEvents) (session.EventPage, error) {
	switch {
	case q.Limit < 0:
		return session.EventPage{}, session.ErrInvalidRequest.With("a page cannot hold %d events", q.Limit)
	case q.Limit == 0:
		q.Limit = session.DefaultEventLimit
	}
	q.Limit = min(q.Limit, session.MaxEventLimit)
	if _, err := s.admit(ctx, q.Consistency); err != nil {
		return session.EventPage{}, err
	}
	return s.readEvents(ctx, &q)
}

// readEvents reads the state at hand.
func (s *Sessions) readEvents(ctx context.Context, q *session.ListEvents) (session.EventPage, error) {
	page := session.EventPage{Next: q.After, More: true}
	scan := eventScan{filters: &s.filters, want: q, trait: traitOf(q), began: q.After}
	for page.More && len(page.Events) < q.Limit && scan.looked < maxEventsRead {
		err := s.machine.view(func(v view) error { return scan.piece(v, &page) })
		if err != nil {
			return session.EventPage{}, err
		}
		if page.More && ctx.Err() != nil {
			return session.EventPage{}, session.ErrOverloaded.With("the events took too long to read: ask for a smaller page")
		}
	}
	return page, nil
}

// traitOf is what tells most of the events that are wanted, 0 if nothing does.
func traitOf(q *session.ListEvents) uint64 {
	switch {
	case !q.Session.IsZero():
		return traitOfSession(q.Session)
	case q.UserID != "":
		return traitOfUser(q.UserID)
	}
	return 0
}

func wants(q *session.ListEvents, e *session.Event) bool {
	return (q.UserID == "" || q.UserID == e.UserID) && (q.Session.IsZero() || q.Session == e.SessionID) &&
		(q.Type == 0 || q.Type == e.Type)
}

// eventScan reads events in pieces, over blocks that are known to hold nothing
// that is wanted, and learns the traits of those that it reads whole.
type eventScan struct {
	filters *eventFilters
	want    *session.ListEvents
	trait   uint64

	looked int
	began  session.EventID // where what is read without a gap has begun: behind it
	block  uint64
	traits map[uint64]struct{} // of block; nil if it is not read whole, or its filter is known
}

// piece adds wanted events to the page, and says in page.More whether there may
// be others behind what it has looked at.
func (s *eventScan) piece(v view, page *session.EventPage) error {
	if page.Index.IsZero() {
		page.Index = v.at // of the first piece: what follows may be younger
	}
	from := page.Next
	if raw, ok, err := v.Get(metaStateKey); err != nil {
		return err
	} else if ok {
		kept, err := decodeMeta(raw)
		if err != nil {
			return err
		}
		if from.Compare(kept.eventFloor) < 0 {
			from = kept.eventFloor // not through the tombstones of those that are gone
		} else {
			from = following(from)
		}
	}
	end, seen := blockOf(session.EventID{Index: v.at.Index}), 0
	page.More = false
	var fault error
	err := v.Scan(eventKey(from), after([]byte{prefixEvent}), func(key, value []byte) bool {
		id := parseEventKey(key)
		if seen == eventPiece || len(page.Events) == s.want.Limit {
			page.More = true
			return false
		}
		if s.enter(blockOf(id), end) {
			// All that is left of the block is passed over.
			page.Next = session.EventID{Index: blockStart(s.block+1).Index - 1, Ordinal: math.MaxUint32}
			page.More, s.began = true, page.Next
			return false
		}
		var e session.Event
		if e, fault = decodeEvent(id, value); fault != nil {
			return false
		}
		seen++
		page.Next = id
		s.learn(&e)
		if wants(s.want, &e) {
			page.Events = append(page.Events, e)
		}
		return true
	})
	s.looked++ // a piece costs something even if it passes over all
	if err == nil {
		err = fault
	}
	return err
}

// following is the least id behind another.
func following(id session.EventID) session.EventID {
	if id.Ordinal == math.MaxUint32 {
		if id.Index == math.MaxUint64 {
			return id // nothing lies behind
		}
		return session.EventID{Index: id.Index + 1}
	}
	return session.EventID{Index: id.Index, Ordinal: id.Ordinal + 1}
}

// enter goes into the block of the next event, and says whether nothing in it is
// wanted. The block before, if it is another, has been read to its end.
func (s *eventScan) enter(block, end uint64) (denied bool) {
	if s.looked > 0 && block == s.block {
		return false
	}
	if s.traits != nil {
		s.filters.keep(s.block, newEventFilter(s.traits))
	}
	s.block, s.traits = block, nil
	if s.trait != 0 && s.filters.denies(block, s.trait) {
		return true
	}
	whole := s.began.Compare(blockStart(block)) < 0 || s.began == session.EventID{} // no event has that id
	if s.trait != 0 && block < end && whole {
		s.traits = make(map[uint64]struct{})
	}
	return false
}

func (s *eventScan) learn(e *session.Event) {
	s.looked++
	if s.traits == nil {
		return
	}
	s.traits[traitOfSession(e.SessionID)] = struct{}{}
	if e.UserID != "" {
		s.traits[traitOfUser(e.UserID)] = struct{}{}
	}
}
