package session

import (
	"errors"
	"fmt"
)

// Code names a kind of failure. Codes are stable and only ever added: clients
// decide by them, and they cross the log.
type Code string

// The codes of the HTTP contract.
const (
	CodeInvalidRequest       Code = "invalid_request"
	CodeSessionInvalid       Code = "session_invalid"
	CodeLoginInvalid         Code = "login_invalid"
	CodeKeyInvalid           Code = "key_invalid"
	CodeForbidden            Code = "forbidden"
	CodeProtectedKey         Code = "protected_key"
	CodeCrossOrigin          Code = "cross_origin"
	CodeNotFound             Code = "not_found"
	CodeMethodNotAllowed     Code = "method_not_allowed"
	CodeSessionLimit         Code = "session_limit"
	CodeIdempotencyConflict  Code = "idempotency_conflict"
	CodeVersionConflict      Code = "version_conflict"
	CodePayloadTooLarge      Code = "payload_too_large"
	CodeUnsupportedMediaType Code = "unsupported_media_type"
	CodeMisdirectedRequest   Code = "misdirected_request"
	CodeRateLimited          Code = "rate_limited"
	CodeHeadersTooLarge      Code = "headers_too_large"
	CodeNoLeader             Code = "no_leader"
	CodeStaleNode            Code = "stale_node"
	CodeDraining             Code = "draining"
	CodeOverloaded           Code = "overloaded"
	CodeOutcomeUnknown       Code = "outcome_unknown"
	CodeDiskLow              Code = "disk_low"
	CodeInternal             Code = "internal"
	CodeQuorumAtRisk         Code = "quorum_at_risk"
	CodeChangeRefused        Code = "change_refused"
)

// Error is a failure that a client is told of: a stable code, and a sentence
// that says what to do. errors.Is matches two Errors of one Code.
type Error struct {
	Code   Code
	Detail string
}

// One sentinel for each code; With gives it another sentence.
var (
	ErrInvalidRequest       = &Error{CodeInvalidRequest, "the request is not well-formed"}
	ErrSessionInvalid       = &Error{CodeSessionInvalid, "log in again: there is no live session for this request"}
	ErrLoginInvalid         = &Error{CodeLoginInvalid, "the login token is not accepted: log in again"}
	ErrKeyInvalid           = &Error{CodeKeyInvalid, "the key is not accepted"}
	ErrForbidden            = &Error{CodeForbidden, "this credential may not do that"}
	ErrProtectedKey         = &Error{CodeProtectedKey, "this data key may be changed with a service key only"}
	ErrCrossOrigin          = &Error{CodeCrossOrigin, "a cookie-borne write must come from the same origin"}
	ErrNotFound             = &Error{CodeNotFound, "there is nothing here"}
	ErrMethodNotAllowed     = &Error{CodeMethodNotAllowed, "this path does not answer that method"}
	ErrSessionLimit         = &Error{CodeSessionLimit, "the user has as many sessions as are allowed: end one first"}
	ErrIdempotencyConflict  = &Error{CodeIdempotencyConflict, "this Idempotency-Key was used for another request: draw a new one"}
	ErrVersionConflict      = &Error{CodeVersionConflict, "the session has changed since: read it and try again"}
	ErrPayloadTooLarge      = &Error{CodePayloadTooLarge, "the body is too large"}
	ErrUnsupportedMediaType = &Error{CodeUnsupportedMediaType, "send application/json"}
	ErrMisdirectedRequest   = &Error{CodeMisdirectedRequest, "this server does not answer for that host"}
	ErrRateLimited          = &Error{CodeRateLimited, "too many requests: wait and try again"}
	ErrHeadersTooLarge      = &Error{CodeHeadersTooLarge, "the headers are too large"}
	ErrNoLeader             = &Error{CodeNoLeader, "the cluster has no leader at the moment: try again"}
	ErrStaleNode            = &Error{CodeStaleNode, "this node cannot prove that it is up to date: try again or ask another node"}
	ErrDraining             = &Error{CodeDraining, "this node is going away: ask another node"}
	ErrOverloaded           = &Error{CodeOverloaded, "this node has too much to do: try again"}
	ErrOutcomeUnknown       = &Error{CodeOutcomeUnknown, "the write may or may not have happened: read before trying again, or repeat it with the same Idempotency-Key"}
	ErrDiskLow              = &Error{CodeDiskLow, "the disk is nearly full: only deletes are accepted"}
	ErrQuorumAtRisk         = &Error{CodeQuorumAtRisk, "the change would lose the cluster's quorum"}
	ErrChangeRefused        = &Error{CodeChangeRefused, "the cluster cannot be changed so as it is now"}
	ErrInternal             = &Error{CodeInternal, "the node failed to answer: see its log"}
)

// Error returns the code and the sentence.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Detail }

// Is matches by Code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// With returns an error of the same Code with another sentence.
func (e *Error) With(format string, args ...any) *Error {
	return &Error{Code: e.Code, Detail: fmt.Sprintf(format, args...)}
}

// CodeOf returns the code of the first Error in err's chain, CodeInternal if
// there is none, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}
