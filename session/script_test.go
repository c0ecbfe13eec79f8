package session

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Lives of sessions: when, what, and after the arrow what has become of it.
// Times count from the session's birth; "ends" is when it ends unless something
// happens. A session idles for one hour and lives for three at most.
var lives = map[string]string{
	"a session that is used lives until its absolute expiry, and no longer": `
		0s        new {"plan":"free"}                -> v1 {"plan":"free"} ends 1h0m0s
		30m       touch                              -> v1 {"plan":"free"} ends 1h30m0s
		40m       patch {"plan":"pro","cart":[1,2]}  -> v2 {"cart":[1,2],"plan":"pro"} ends 1h30m0s
		1h29m     refresh                            -> v2 {"cart":[1,2],"plan":"pro"} ends 2h29m0s
		2h28m     refresh                            -> v2 {"cart":[1,2],"plan":"pro"} ends 3h0m0s
		2h59m     refresh                            -> v2 {"cart":[1,2],"plan":"pro"} ends 3h0m0s
		2h59m     patch {"cart":null}                -> v3 {"plan":"pro"} ends 3h0m0s
		2h59.999m look                               -> v3 {"plan":"pro"} ends 3h0m0s
		3h        look                               -> gone
		3h        refresh                            -> gone`,

	"a session that is left alone ends to the millisecond, and stays so": `
		0s        new {}                             -> v1 {} ends 1h0m0s
		3599999ms look                               -> v1 {} ends 1h0m0s
		3600000ms look                               -> gone
		3600000ms touch                              -> gone
		2h        refresh                            -> gone
		2h        patch {"a":1}                      -> gone`,

	"a touch that comes late counts for when it happened": `
		0s        new {}                             -> v1 {} ends 1h0m0s
		50m       touch 20m                          -> v1 {} ends 1h20m0s
		55m       touch 10m                          -> v1 {} ends 1h20m0s
		1h20m     look                               -> gone`,

	"a version counts changes of data, not requests": `
		0s        new {"n":1}                        -> v1 {"n":1} ends 1h0m0s
		1m        patch {}                           -> v1 {"n":1} ends 1h0m0s
		1m        patch { "n" : 1 , "x" : null }     -> v1 {"n":1} ends 1h0m0s
		1m        patch {"n":1.0}                    -> v2 {"n":1.0} ends 1h0m0s
		1m        patch {"n":1,"n":2}                -> invalid_request
		1m        patch [1]                          -> invalid_request
		1m        label phone                        -> v2 {"n":1.0} ends 1h0m0s
		1m        patch {"n":{"deep":{"gone":null}}} -> v3 {"n":{"deep":{}}} ends 1h0m0s`,
}

func TestLivesOfSessions(t *testing.T) {
	for name, script := range lives {
		t.Run(name, func(t *testing.T) {
			var s Session
			for line := range strings.Lines(strings.TrimSpace(script)) {
				step, want, ok := strings.Cut(strings.TrimSpace(line), "-> ")
				if !ok {
					t.Fatalf("no arrow in %q", line)
				}
				var got string
				s, got = live(t, s, strings.TrimSpace(step))
				if got != want {
					t.Fatalf("%s\n got %s\nwant %s", step, got, want)
				}
			}
		})
	}
}

// live takes one step as the machine does: a session that has ended is not
// asked.
func live(t *testing.T, s Session, step string) (Session, string) {
	when, what, _ := strings.Cut(step, " ")
	verb, arg, _ := strings.Cut(strings.TrimSpace(what), " ")
	at := noon.Add(duration(t, when))
	if verb != "new" && !s.LiveAt(at) {
		return s, "gone"
	}
	var err error
	switch verb {
	case "new":
		b := begin(t)
		b.Data, b.Absolute = []byte(arg), 3*time.Hour
		s, err = New(b, at)
	case "patch":
		s, _, err = s.Patched([]byte(arg), at)
	case "touch":
		active := at
		if arg != "" {
			active = noon.Add(duration(t, arg))
		}
		s = s.Touched(active, Client{})
	case "refresh":
		s = s.Refreshed(at)
	case "label":
		s, err = s.Labelled(arg)
	case "look":
	default:
		t.Fatalf("unknown step %q", step)
	}
	if err != nil {
		return s, string(CodeOf(err))
	}
	return s, fmt.Sprintf("v%d %s ends %v", s.Version, s.Data, s.ExpiresAt().Sub(noon))
}

func duration(t *testing.T, text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
