package session

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestPolicyBoundsTimeouts(t *testing.T) {
	p := DefaultPolicy()
	service, login := Actor{Service: true}, Actor{Login: &Login{UserID: "ada"}}
	for name, c := range map[string]struct {
		create         Create
		idle, absolute time.Duration
		refused        bool
	}{
		"defaults":                 {Create{Actor: login}, time.Hour, 24 * time.Hour, false},
		"a login shortens":         {Create{Actor: login, IdleTimeout: 5 * time.Minute, AbsoluteTimeout: time.Hour}, 5 * time.Minute, time.Hour, false},
		"a login may not lengthen": {Create{Actor: login, AbsoluteTimeout: 48 * time.Hour}, 0, 0, true},
		"nor its idle time":        {Create{Actor: login, IdleTimeout: 2 * time.Hour}, 0, 0, true},
		"a service may":            {Create{Actor: service, IdleTimeout: 48 * time.Hour, AbsoluteTimeout: 96 * time.Hour}, 48 * time.Hour, 96 * time.Hour, false},
		"within the hard bounds":   {Create{Actor: service, AbsoluteTimeout: 401 * 24 * time.Hour}, 0, 0, true},
		"a short life cuts idle":   {Create{Actor: service, AbsoluteTimeout: time.Minute}, time.Minute, time.Minute, false},
		"idle below two touches":   {Create{Actor: service, IdleTimeout: time.Minute}, 0, 0, true},
		"idle beyond absolute":     {Create{Actor: service, IdleTimeout: 2 * time.Hour, AbsoluteTimeout: time.Hour}, 0, 0, true},
		"idle longer than a life":  {Create{Actor: service, IdleTimeout: 48 * time.Hour}, 0, 0, true},
		"negative absolute":        {Create{Actor: service, AbsoluteTimeout: -time.Hour}, 0, 0, true},
		"under a millisecond":      {Create{Actor: service, IdleTimeout: time.Microsecond}, 0, 0, true},
		"no part of a millisecond": {Create{Actor: service, IdleTimeout: time.Hour + 7, AbsoluteTimeout: 2*time.Hour + 9}, time.Hour, 2 * time.Hour, false},
		"a visitor shortens":       {Create{IdleTimeout: 5 * time.Minute}, 5 * time.Minute, 24 * time.Hour, false},
		"negative":                 {Create{Actor: service, IdleTimeout: -time.Hour}, 0, 0, true},
	} {
		idle, absolute, err := p.Timeouts(c.create)
		if (err != nil) != c.refused || idle != c.idle || absolute != c.absolute {
			t.Errorf("%s: %v, %v, %v", name, idle, absolute, err)
		}
	}
}

func TestARefusedTimeoutSaysWhatWouldBeAccepted(t *testing.T) {
	_, _, err := DefaultPolicy().Timeouts(Create{IdleTimeout: time.Minute})
	if !errors.Is(err, ErrInvalidRequest) || !strings.Contains(err.Error(), "at least 2m0s") {
		t.Error(err)
	}
	p := DefaultPolicy()
	p.TouchInterval = time.Millisecond
	if _, _, err = p.Timeouts(Create{IdleTimeout: MinIdle - time.Millisecond}); !errors.Is(err, ErrInvalidRequest) {
		t.Errorf("an idle timeout below the hard bound: %v", err)
	}
}

// What the policy lets pass, New takes: the two never disagree.
func TestWhatThePolicyPassesBeginsASession(t *testing.T) {
	p := DefaultPolicy()
	for _, c := range []Create{{}, {AbsoluteTimeout: MinIdle}, {IdleTimeout: 2 * p.TouchInterval}, {Actor: Actor{Service: true}, IdleTimeout: MaxIdle, AbsoluteTimeout: MaxAbsolute}} {
		idle, absolute, err := p.Timeouts(c)
		if err != nil {
			t.Fatal(err)
		}
		b := begin(t)
		b.Idle, b.Absolute = idle, absolute
		if _, err := New(b, noon); err != nil {
			t.Errorf("%v and %v: %v", idle, absolute, err)
		}
	}
}

func TestPolicyNamesEveryFaultAtOnce(t *testing.T) {
	err := Policy{IdleTimeout: -1, AbsoluteTimeout: -2, MaxPerUser: -1, ProtectedKeys: []string{"", "\xff"}}.Validate()
	if err == nil || strings.Count(err.Error(), "\n") != 6 {
		t.Errorf("%v", err)
	}
	if err := DefaultPolicy().Validate(); err != nil {
		t.Error(err)
	}
}

func TestProtectedKeysNeedAService(t *testing.T) {
	p := DefaultPolicy()
	p.ProtectedKeys = []string{"roles"}
	for name, c := range map[string]struct {
		err  error
		want error
	}{
		"set by a browser":     {p.CheckPatch(Actor{}, []byte(`{"roles":["admin"]}`)), ErrProtectedKey},
		"removed by a browser": {p.CheckPatch(Actor{}, []byte(`{"\u0072oles":null}`)), ErrProtectedKey},
		"nested":               {p.CheckPatch(Actor{}, []byte(`{"x":{"roles":1}}`)), nil},
		"set by a service":     {p.CheckPatch(Actor{Service: true}, []byte(`{"roles":[]}`)), nil},
		"at login":             {p.CheckCreate(Create{Data: []byte(`{"roles":[]}`)}), ErrProtectedKey},
		"carried":              {p.CheckCreate(Create{Actor: Actor{Service: true}, Carry: []string{"roles"}}), ErrProtectedKey},
		"too many carried":     {p.CheckCreate(Create{Carry: make([]string, MaxCarryKeys+1)}), ErrInvalidRequest},
		"no object":            {p.CheckPatch(Actor{Service: true}, []byte(`[]`)), ErrInvalidRequest},
		"no data":              {p.CheckCreate(Create{}), nil},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v", name, c.err)
		}
	}
}
