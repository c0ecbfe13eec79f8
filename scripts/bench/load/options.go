package load

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// A Profile says which requests a run makes.
type Profile string

// The profiles.
const (
	Create Profile = "create" // POST /api/sessions/create/ with the service key
	Get    Profile = "get"    // GET /api/sessions/current/ of a random known session
	Patch  Profile = "patch"  // PATCH /api/sessions/current/ of a random known session, each time another value
	Mixed  Profile = "mixed"  // 95 % Get, 5 % Patch
	Life   Profile = "life"   // each client creates a session, uses it (2 reads to a patch) and logs it out, again and again
)

// Profiles lists them all, in the order in which a report shows them.
func Profiles() []Profile { return []Profile{Create, Get, Patch, Mixed, Life} }

// mixedPatchPercent is the share of writes in Mixed.
const mixedPatchPercent = 5

// What a client of Life does with one session between its creation and its end.
const (
	lifeSteps        = 18
	lifePatchPercent = 33
)

// Bounds and defaults of Options.
const (
	MaxClients      = 4096
	MaxRun          = time.Hour
	DefaultClients  = 64
	DefaultTimeout  = 10 * time.Second // a node answers within 5 s, even when there is no leader
	DefaultUsers    = 100_000
	DefaultCountRun = 10 * time.Minute // how long a run that is bounded by its count alone may take
	// DefaultDataBytes makes a stored session about 500 bytes: the record's other fields take about 150.
	DefaultDataBytes = 350
	MaxDataBytes     = 60 << 10
)

// Options describe one run. Zero fields take the default that is named beside them.
type Options struct {
	Addrs   []string // nodes as HOST:PORT; or
	Targets *Targets // nodes that the caller takes out and puts back while the run goes on

	Profile Profile
	Clients int // concurrent clients, one connection each; 64

	// A run ends after Duration, or after Count requests, whichever comes first; one of them must be set. Neither
	// includes the WarmUp before, whose requests are not counted.
	Duration time.Duration
	Count    uint64
	WarmUp   time.Duration
	Stop     <-chan struct{} // if set, its closing ends the run as its duration does

	Timeout       time.Duration // of one request; 10 s. It may come up to a quarter of a second late
	RatePerSecond float64       // requests a second over all clients; 0: as fast as the answers come
	Seed          uint64        // two runs with one seed choose the same sessions and values

	Key           string // service key (hfk_…), for creates
	Authorization string // the whole header value for creates, instead of Key
	Consistency   string // value of Holdfast-Consistency on reads, none if empty

	Tokens *Tokens // the sessions that Get, Patch and Mixed use; Create adds what it makes, if set. Life has its own

	DataBytes       int           // size of the JSON data of a created session; 350
	Users           int           // creates take their user_id in turn from so many users; 100,000
	IdleTimeout     time.Duration // of created sessions; 0: the server's default
	AbsoluteTimeout time.Duration // of created sessions; 0: the server's default
	ExpireAt        time.Time     // if set, each created session gets the absolute timeout that ends it at this moment

	Progress func(Progress) // called about five times a second, by one goroutine, never after Run has returned
}

// Progress is how far a run has come.
type Progress struct {
	Elapsed, Total time.Duration // since the start, warm-up included; Total is the longest that the run may take
	Operations     uint64        // successes so far, warm-up included
	Errors         uint64        // failures so far, warm-up included
	Count          uint64        // Options.Count
}

// withDefaults fills in what was left out.
func (o Options) withDefaults() Options {
	if o.Targets == nil {
		o.Targets = NewTargets(o.Addrs...)
	}
	if o.Clients == 0 {
		o.Clients = DefaultClients
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Users == 0 {
		o.Users = DefaultUsers
	}
	if o.DataBytes == 0 {
		o.DataBytes = DefaultDataBytes
	}
	if o.Duration == 0 && o.Count > 0 {
		o.Duration = DefaultCountRun
	}
	if o.Authorization == "" && o.Key != "" {
		o.Authorization = "Bearer " + o.Key
	}
	return o
}

// Validate names all faults at once. Run calls it.
func (o Options) Validate() error {
	o = o.withDefaults()
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(len(o.Targets.addrs) > 0, "addrs: at least one node is needed")
	for _, addr := range o.Targets.addrs {
		_, _, err := net.SplitHostPort(addr)
		check(err == nil, "addrs: %q is not HOST:PORT", addr)
	}
	check(slices.Contains(Profiles(), o.Profile), "profile: %q is none of %v", o.Profile, Profiles())
	check(o.Clients > 0 && o.Clients <= MaxClients, "clients: %d is not in 1 to %d", o.Clients, MaxClients)
	check(o.Duration > 0 && o.WarmUp >= 0 && o.WarmUp+o.Duration <= MaxRun,
		"duration: a run needs a duration or a count, and ends within %v", MaxRun)
	check(o.Timeout >= time.Millisecond && o.Timeout <= time.Minute, "timeout: %v is not in 1ms to 1m", o.Timeout)
	check(o.RatePerSecond >= 0, "rate: %v is negative", o.RatePerSecond)
	check(o.Users > 0, "users: %d is not positive", o.Users)
	check(o.DataBytes >= len(dataHead)+len(dataTail) && o.DataBytes <= MaxDataBytes,
		"data bytes: %d is not in %d to %d", o.DataBytes, len(dataHead)+len(dataTail), MaxDataBytes)
	if o.Profile == Create || o.Profile == Life {
		check(o.Authorization != "", "key: creates need a service key")
	} else {
		check(o.Tokens != nil && o.Tokens.Len() > 0, "tokens: profile %s needs sessions; preload some", o.Profile)
	}
	for _, value := range []string{o.Authorization, o.Consistency} {
		check(headerSafe(value), "a header value holds control characters")
	}
	return errors.Join(faults...)
}

func headerSafe(value string) bool {
	for i := range len(value) {
		if value[i] < ' ' || value[i] == 0x7f {
			return false
		}
	}
	return true
}
