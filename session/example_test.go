package session_test

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

// A browser holds the token's text; the table holds the hash of its secret.
func ExampleMint() {
	notRandom := bytes.NewReader(make([]byte, 64)) // crypto/rand's Reader outside examples
	token, err := session.Mint(notRandom, session.FromStd(time.Date(2026, 1, 31, 9, 8, 7, 0, time.UTC)))
	if err != nil {
		panic(err)
	}
	fmt.Println(token)
	shown, err := session.ParseToken(token.Reveal())
	fmt.Println(token.Hash().Matches(shown.Secret), err)
	_, err = session.ParseToken(token.Reveal() + "=")
	fmt.Println(errors.Is(err, session.ErrSessionInvalid))
	// Output:
	// hfs_019c134f-40d8-7000-8000-000000000000.***
	// true <nil>
	// true
}

func ExampleMergePatch() {
	data, err := session.MergePatch(
		[]byte(`{"cart":[1,2],"plan":"free","profile":{"name":"Ada","theme":"dark"}}`),
		[]byte(`{"cart":null,"plan":"professional","profile":{"theme":"light"},"account":12345678901234567890}`),
	)
	fmt.Println(string(data), err)
	// Output: {"account":12345678901234567890,"plan":"professional","profile":{"name":"Ada","theme":"light"}} <nil>
}

func ExampleCanonicalObject() {
	for _, raw := range []string{`{ "b": 1.50, "\u0061": "\u00e9" }`, `{"a":1,"\u0061":2}`} {
		data, err := session.CanonicalObject([]byte(raw))
		fmt.Println(string(data), err)
	}
	// Output:
	// {"a":"é","b":1.50} <nil>
	//  invalid_request: JSON: the key "a" stands twice in one object
}

func ExamplePolicy_Timeouts() {
	policy := session.DefaultPolicy()
	login := session.Actor{Login: &session.Login{UserID: "ada"}}
	fmt.Println(policy.Timeouts(session.Create{Actor: login, IdleTimeout: 10 * time.Minute}))
	fmt.Println(policy.Timeouts(session.Create{Actor: login, AbsoluteTimeout: 48 * time.Hour}))
	// Output:
	// 10m0s 24h0m0s <nil>
	// 0s 0s invalid_request: absolute_timeout must lie between 1s and 24h0m0s
}
