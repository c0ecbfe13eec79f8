package session

import (
	"cmp"
	"strconv"
	"strings"
)

// EventType is what happened to a session. Values are append-only: they are
// stored.
type EventType uint8

// The types of events.
const (
	EventCreated EventType = 1 + iota
	EventUpdated
	EventRefreshed
	EventRotated
	EventRevoked
	EventExpired
	EventEvicted
	EventSuspicious
)

var eventTypeNames = [...]string{
	EventCreated: "created", EventUpdated: "updated", EventRefreshed: "refreshed", EventRotated: "rotated",
	EventRevoked: "revoked", EventExpired: "expired", EventEvicted: "evicted", EventSuspicious: "suspicious",
}

// String returns the lower-case name.
func (t EventType) String() string {
	if t == 0 || int(t) >= len(eventTypeNames) {
		return "unknown"
	}
	return eventTypeNames[t]
}

// ParseEventType reads a lower-case name; anything else is ErrInvalidRequest.
func ParseEventType(s string) (EventType, error) {
	for t, name := range eventTypeNames {
		if t > 0 && name == s {
			return EventType(t), nil
		}
	}
	return 0, ErrInvalidRequest.With("there is no event type %q; there are %s", trimmed(s, 32), strings.Join(eventTypeNames[1:], ", "))
}

// EventID orders events: the log index of the command that made the event, and
// the event's place among those of that entry. It is unique in one cluster.
type EventID struct {
	Index   uint64
	Ordinal uint32
}

// String returns "<index>-<ordinal>".
func (id EventID) String() string {
	return strconv.FormatUint(id.Index, 10) + "-" + strconv.FormatUint(uint64(id.Ordinal), 10)
}

// Compare orders id and other as their events happened: -1, 0 or 1.
func (id EventID) Compare(other EventID) int {
	return cmp.Or(cmp.Compare(id.Index, other.Index), cmp.Compare(id.Ordinal, other.Ordinal))
}

// ParseEventID reads the text form in its one spelling; anything else is
// ErrInvalidRequest.
func ParseEventID(s string) (EventID, error) {
	index, ordinal, _ := strings.Cut(s, "-")
	i, ok := parseDecimal(index, 64)
	o, also := parseDecimal(ordinal, 32)
	if !ok || !also {
		return EventID{}, ErrInvalidRequest.With("an event id is two decimal numbers with a dash between, as an earlier answer gave it")
	}
	return EventID{Index: i, Ordinal: uint32(o)}, nil
}

// Event records one change of one session.
type Event struct {
	ID        EventID
	Time      Time
	Type      EventType
	SessionID ID
	UserID    string
	TenantID  string
	Version   uint64 // the session's version after the change
	Reason    string // why, for revoked and suspicious; else empty
}
