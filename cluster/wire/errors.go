package wire

import (
	"errors"
	"fmt"
)

// What a failed call means to whoever has to decide whether to try again. Every
// error of Client.Call is one of ErrNotSent, ErrUnknown and *RemoteError.
var (
	// ErrNotSent: the handler certainly did not run and never will.
	ErrNotSent = errors.New("not sent")
	// ErrUnknown: the request left, no answer came. The handler may have run,
	// may be running, or may yet run.
	ErrUnknown = errors.New("outcome unknown")
)

// Why; these come wrapped together with one of the above.
var (
	// ErrClosed: this end is closed.
	ErrClosed = errors.New("closed")
	// ErrLost: the connection broke.
	ErrLost = errors.New("connection lost")
	// ErrTooLarge: a body is larger than the limit.
	ErrTooLarge = errors.New("message is too large")
	// ErrBusy: too many calls wait already.
	ErrBusy = errors.New("too many calls are waiting")

	errSilent   = fmt.Errorf("%w: peer has fallen silent", ErrLost)
	errProtocol = errors.New("peer broke the protocol")
)

// Codes of failures. Append-only; below CodeHandler they are this package's own.
const (
	// CodeBusy: too many requests of this peer are being handled. It did not run.
	CodeBusy byte = 1
	// CodeAnswerTooLarge: the handler ran, its answer does not fit a frame.
	CodeAnswerTooLarge byte = 2
	// CodeHandler: the handler failed and said no more than its text. A handler's
	// error may have a method Code() byte that returns this or something above.
	CodeHandler byte = 16
)

// maxErrorBytes bounds the text of a failure.
const maxErrorBytes = 4096

// RemoteError is a failure that the other node reported.
type RemoteError struct {
	// Peer is the node that reported it.
	Peer string
	Code byte
	Text string
}

func (e *RemoteError) Error() string {
	return fmt.Sprintf("node %s: %s (code %d)", e.Peer, e.Text, e.Code)
}

// Is makes a refusal before the handler ran count as ErrNotSent.
func (e *RemoteError) Is(target error) bool {
	switch e.Code {
	case CodeBusy:
		return target == ErrNotSent || target == ErrBusy
	case CodeAnswerTooLarge:
		return target == ErrTooLarge
	default:
		return false
	}
}

// codeOf is what a handler's error travels as.
func codeOf(err error) byte {
	var coded interface{ Code() byte }
	if errors.As(err, &coded) {
		return max(coded.Code(), CodeHandler)
	}
	return CodeHandler
}

func notSent(id string, cause error) error {
	return fmt.Errorf("call %s: %w: %w", id, ErrNotSent, cause)
}

func unknown(id string, cause error) error {
	return fmt.Errorf("call %s: %w: %w", id, ErrUnknown, cause)
}
