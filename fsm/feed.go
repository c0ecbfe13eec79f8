package fsm

import (
	"context"
	"math"
	"runtime"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

const (
	// maxQueued is how many events may wait for one follower. Whoever is slower is
	// dropped, and may resume: nobody waits for a follower.
	maxQueued = 1024
	// dealPiece is how many events are dealt out before readers get their turn.
	dealPiece = 128
	// maxOfOne is how many streams one session or one user may have on a node.
	maxOfOne = 64
	// feedLook is how often a node that has followers looks whether it may still
	// tell them anything.
	feedLook = time.Second
)

// feed deals out the events that this node applies. It reads them from the table
// once for all followers, so it misses none: not when the leader changes, not
// when the node has caught up from an archive.
type feed struct {
	most int // followers

	mu        sync.Mutex // guards all below, and the queue of every follower
	followers map[*follower]struct{}
	ofSession map[session.ID]map[*follower]struct{}
	ofUser    map[string]map[*follower]struct{}
	ofAll     map[*follower]struct{}
	dealt     session.EventID // up to here; of no meaning while nobody follows
	closed    bool
	slow      uint64 // streams that were ended because their readers were too slow
}

func newFeed(most int) *feed {
	return &feed{
		most: most, followers: make(map[*follower]struct{}), ofSession: make(map[session.ID]map[*follower]struct{}),
		ofUser: make(map[string]map[*follower]struct{}), ofAll: make(map[*follower]struct{}),
	}
}

// follower is one stream.
type follower struct {
	s    *Sessions
	want session.Follow

	// What lies before it began to follow. For the reader alone.
	resume  session.ListEvents
	until   session.EventID
	backlog []session.Event
	resumed bool

	news  chan struct{} // there is something in queue, or gone is set
	queue []session.Event
	gone  error
}

// Follow begins a stream, with what has happened since After as far as it is
// kept.
func (s *Sessions) Follow(ctx context.Context, want session.Follow) (session.Stream, error) {
	// The id may be of a node that is further; one beyond the log asks for nothing.
	at := session.Consistency{AtLeast: session.Index{Cluster: s.machine.Public(), Index: want.After.Index}}
	if _, err := s.admit(ctx, at); err != nil {
		return nil, err
	}
	if now := s.Index().Index; want.After.Index > now {
		want.After = session.EventID{Index: now, Ordinal: math.MaxUint32}
	}
	f := &follower{
		s: s, want: want, news: make(chan struct{}, 1),
		resume: session.ListEvents{After: want.After, UserID: want.UserID, Session: want.Session, Type: want.Type, Limit: session.MaxEventLimit},
	}
	var err error
	f.until, err = s.feed.add(f, s.machine)
	return f, err
}

// add has f told of all events behind the one that it returns.
func (d *feed) add(f *follower, m *Machine) (session.EventID, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return session.EventID{}, session.ErrDraining
	case len(d.followers) >= d.most:
		return session.EventID{}, session.ErrOverloaded.With("this node has %d event streams, as many as it may: ask another", d.most)
	case len(d.ofSession[f.want.Session]) >= maxOfOne || len(d.ofUser[f.want.UserID]) >= maxOfOne:
		return session.EventID{}, session.ErrOverloaded.With("there are %d event streams of this session or user on this node: close some", maxOfOne)
	case len(d.followers) == 0:
		d.dealt = session.EventID{Index: m.index().Index, Ordinal: math.MaxUint32}
	}
	d.followers[f] = struct{}{}
	switch {
	case !f.want.Session.IsZero():
		put(d.ofSession, f.want.Session, f)
	case f.want.UserID != "":
		put(d.ofUser, f.want.UserID, f)
	default:
		d.ofAll[f] = struct{}{}
	}
	return d.dealt, nil
}

func put[K comparable](to map[K]map[*follower]struct{}, key K, f *follower) {
	if to[key] == nil {
		to[key] = make(map[*follower]struct{})
	}
	to[key][f] = struct{}{}
}

func take[K comparable](from map[K]map[*follower]struct{}, key K, f *follower) {
	delete(from[key], f)
	if len(from[key]) == 0 {
		delete(from, key)
	}
}

// drop ends a stream; its reader is told why. The caller holds mu.
func (d *feed) drop(f *follower, why error) {
	if f.gone != nil {
		return
	}
	f.gone = why
	f.queue = nil
	delete(d.followers, f)
	delete(d.ofAll, f)
	take(d.ofSession, f.want.Session, f)
	take(d.ofUser, f.want.UserID, f)
	f.tell()
}

func (d *feed) dropAll(why error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for f := range d.followers {
		d.drop(f, why)
	}
}

func (d *feed) close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.dropAll(session.ErrDraining)
}

func (d *feed) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.followers)
}

func (f *follower) tell() {
	select {
	case f.news <- struct{}{}:
	default:
	}
}

// runFeed deals out events until ctx ends.
func (s *Sessions) runFeed(ctx context.Context) {
	defer s.feed.close()
	look := time.NewTicker(feedLook)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.machine.news:
			if err := s.deal(); err != nil {
				s.cfg.Logger.Warn("the event streams of this node end", "error", err)
				s.feed.dropAll(session.ErrStaleNode)
			}
		case <-look.C:
			s.checkFeed(ctx)
		}
	}
}

// checkFeed ends all streams of a node that is not fresh any more: silence would
// look as if nothing happened.
func (s *Sessions) checkFeed(ctx context.Context) {
	if s.feed.count() == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, feedLook)
	defer cancel()
	if _, err := s.log.Read(ctx, 0, false); err != nil {
		s.feed.dropAll(session.ErrStaleNode)
	}
}

// deal hands all new events to those who want them.
func (s *Sessions) deal() error {
	for more := true; more; {
		var err error
		if more, err = s.feed.dealPage(s); err != nil {
			return err
		}
		runtime.Gosched() // so that readers take what they have been dealt
	}
	return nil
}

func (d *feed) dealPage(s *Sessions) (more bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.followers) == 0 {
		return false, nil
	}
	// Nothing in here waits for anybody: to read holds up new followers at most.
	page, err := s.readEvents(context.Background(), &session.ListEvents{After: d.dealt, Limit: dealPiece})
	if err != nil {
		return false, err
	}
	for i := range page.Events {
		e := &page.Events[i]
		d.hand(d.ofAll, e)
		d.hand(d.ofSession[e.SessionID], e)
		d.hand(d.ofUser[e.UserID], e)
	}
	if page.Next.Compare(d.dealt) > 0 {
		d.dealt = page.Next
	}
	return page.More, nil
}

func (d *feed) hand(to map[*follower]struct{}, e *session.Event) {
	for f := range to {
		switch {
		case f.want.Type != 0 && f.want.Type != e.Type, f.want.UserID != "" && f.want.UserID != e.UserID:
		case e.ID.Compare(f.want.After) <= 0: // another node was further when it told of this
		case len(f.queue) >= maxQueued:
			d.slow++
			d.drop(f, session.ErrOverloaded.With("the reader of this event stream is too slow: resume it"))
		default:
			f.queue = append(f.queue, *e)
			f.tell()
		}
	}
}

// Next waits for the next event.
func (f *follower) Next(ctx context.Context) (session.Event, error) {
	for {
		if e, ok, err := f.earlier(ctx); ok || err != nil {
			return e, err
		}
		if e, ok, err := f.queued(); ok || err != nil {
			return e, err
		}
		select {
		case <-ctx.Done():
			return session.Event{}, ctx.Err()
		case <-f.news:
		}
	}
}

// earlier gives what has happened before the stream began.
func (f *follower) earlier(ctx context.Context) (session.Event, bool, error) {
	for !f.resumed && len(f.backlog) == 0 {
		page, err := f.s.readEvents(ctx, &f.resume)
		if err != nil {
			return session.Event{}, false, err
		}
		f.backlog, f.resume.After = page.Events, page.Next
		f.resumed = !page.More || page.Next.Compare(f.until) >= 0
		for n := len(f.backlog); n > 0 && f.backlog[n-1].ID.Compare(f.until) > 0; n-- {
			f.backlog = f.backlog[:n-1] // it is in the queue
		}
	}
	if len(f.backlog) == 0 {
		return session.Event{}, false, nil
	}
	e := f.backlog[0]
	f.backlog = f.backlog[1:]
	return e, true, nil
}

func (f *follower) queued() (session.Event, bool, error) {
	f.s.feed.mu.Lock()
	defer f.s.feed.mu.Unlock()
	switch {
	case f.gone != nil:
		return session.Event{}, false, f.gone
	case len(f.queue) == 0:
		return session.Event{}, false, nil
	}
	e := f.queue[0]
	if f.queue = f.queue[1:]; len(f.queue) == 0 {
		f.queue = nil // a stream is idle nearly always, and holds nothing then
	}
	return e, true, nil
}

// Close ends the stream.
func (f *follower) Close() {
	f.s.feed.mu.Lock()
	defer f.s.feed.mu.Unlock()
	f.s.feed.drop(f, context.Canceled)
}
