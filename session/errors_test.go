package session

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestErrorsMatchByCodeThroughWrapping(t *testing.T) {
	err := fmt.Errorf("patch %s: %w", "x", ErrVersionConflict.With("version is %d", 7))
	if !errors.Is(err, ErrVersionConflict) || errors.Is(err, ErrNotFound) {
		t.Error("errors.Is does not go by code")
	}
	if want := "patch x: version_conflict: version is 7"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
	if ErrVersionConflict.Detail == "version is 7" {
		t.Error("With changed the sentinel")
	}
}

func TestCodeOfTellsOurErrorsFromAllOthers(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want Code
	}{
		"nothing":             {nil, ""},
		"a sentinel":          {ErrStaleNode, CodeStaleNode},
		"a wrapped sentinel":  {fmt.Errorf("read: %w", ErrStaleNode), CodeStaleNode},
		"a deadline":          {context.DeadlineExceeded, CodeInternal},
		"a cancellation":      {context.Canceled, CodeInternal},
		"a stranger":          {errors.New("x"), CodeInternal},
		"a deadline, wrapped": {errors.Join(ErrOutcomeUnknown, context.DeadlineExceeded), CodeOutcomeUnknown},
		"the first of several": {
			fmt.Errorf("%w after %w", ErrNoLeader, ErrOverloaded), CodeNoLeader,
		},
	} {
		if got := CodeOf(c.err); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestEveryCodeHasOneSentinelWithASentence(t *testing.T) {
	seen := map[Code]bool{}
	for _, e := range []*Error{
		ErrInvalidRequest, ErrSessionInvalid, ErrLoginInvalid, ErrKeyInvalid, ErrForbidden, ErrProtectedKey, ErrCrossOrigin,
		ErrNotFound, ErrMethodNotAllowed, ErrSessionLimit, ErrIdempotencyConflict, ErrVersionConflict, ErrPayloadTooLarge,
		ErrUnsupportedMediaType, ErrMisdirectedRequest, ErrRateLimited, ErrHeadersTooLarge, ErrNoLeader, ErrStaleNode,
		ErrDraining, ErrOverloaded, ErrOutcomeUnknown, ErrDiskLow, ErrInternal,
	} {
		if e.Code == "" || e.Detail == "" || seen[e.Code] {
			t.Errorf("%+v is empty or there twice", *e)
		}
		seen[e.Code] = true
	}
}
