package fsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/holdfastdb/holdfast/session"
	"github.com/holdfastdb/holdfast/snapshot"
)

// Contents is what a saved archive holds. It is believed only where ReadArchive
// has returned no error.
type Contents struct {
	Header      snapshot.Header
	Sessions    uint64
	Users       uint64 // who have a session
	Anonymous   uint64 // sessions of nobody
	NotBefores  uint64 // users whose older logins are refused
	EndedLogins uint64 // at identity providers, and logout tokens that were used
	Events      uint64
	Pairs       uint64
	RawBytes    int64  // of keys and values, before compression
	Checksum    []byte // SHA-256
}

// ErrArchiveKind is in the chain of the error for an archive that is not one that
// an operator keeps.
var ErrArchiveKind = errors.New("this archive is not one that holdfast snapshot save has made")

// errContents is in the chain of the error for an archive whose bytes are as they
// were written, and which says what no node would have written.
var errContents = fmt.Errorf("the archive holds what no node has written: %w", snapshot.ErrDamaged)

// ReadArchive reads a saved archive to its end and checks all that can be known of
// it: its checksum, the hash of its pairs, every record, and its own counts. Pairs
// come to each, which may be nil, in the order of their keys and valid during the
// call alone; they must not be acted on before ReadArchive has returned. Errors
// hold snapshot.ErrDamaged, ErrForeign or ErrNewer, ErrArchiveKind, or are r's own.
func ReadArchive(ctx context.Context, r io.Reader, each func(key, value []byte) error) (Contents, error) {
	archive, err := snapshot.NewReader(r)
	if err != nil {
		return Contents{}, err
	}
	defer archive.Close()
	a := auditor{Contents: Contents{Header: archive.Header()}}
	switch kind := a.Header.Kind; {
	case kind == snapshot.Member:
		return a.Contents, fmt.Errorf("it is of the kind that members exchange: %w", ErrArchiveKind)
	case kind != snapshot.Saved:
		return a.Contents, fmt.Errorf("it is of kind %d: %w", kind, snapshot.ErrNewer)
	}
	for {
		key, value, err := archive.Next()
		if errors.Is(err, io.EOF) {
			a.Checksum = bytes.Clone(archive.Checksum())
			return a.Contents, a.end()
		}
		if err == nil {
			err = a.pair(key, value)
		}
		if err == nil && each != nil {
			err = each(key, value)
		}
		if err == nil && a.Pairs%saveAsk == 0 {
			err = ctx.Err()
		}
		if err != nil {
			return a.Contents, err
		}
	}
}

// auditor counts the pairs of a saved archive and checks each of them.
type auditor struct {
	Contents
	hash  uint64
	last  []byte // key
	state *meta  // nil until it was read
	lives uint64 // what the accounts count
}

func (a *auditor) pair(key, value []byte) error {
	if bytes.Compare(a.last, key) >= 0 {
		return fmt.Errorf("the keys do not ascend: %w", errContents)
	}
	a.last = append(a.last[:0], key...)
	a.Pairs++
	a.RawBytes += int64(len(key) + len(value))
	a.hash += pairHash(key, value)
	var err error
	switch key[0] {
	case prefixMeta:
		err = a.meta(key, value)
	case prefixSession:
		err = a.session(key, value)
	case prefixAccount:
		err = a.account(key, value)
	case prefixEvent:
		err = a.event(key, value)
	case prefixIdempotency:
		err = a.logout(key, value)
	default:
		err = errMalformed
	}
	if err != nil && !errors.Is(err, snapshot.ErrNewer) {
		err = fmt.Errorf("pair %d: %w: %w", a.Pairs, errContents, err)
	}
	return err
}

func (a *auditor) meta(key, value []byte) error {
	if string(key) != string(metaStateKey) {
		return errMalformed
	}
	state, err := decodeMeta(value)
	if err == nil && (int64(state.stamp) != a.Header.Stamp || state.public() != a.Header.Cluster) {
		err = errMalformed
	}
	if err == nil && state.known() != nil {
		err = fmt.Errorf("it is of feature level %d, and this release knows %d: %w", state.level(), knownLevel, snapshot.ErrNewer)
	}
	a.state = &state
	return err
}

func (a *auditor) session(key, value []byte) error {
	rec, err := archivedSession(key, value)
	if err != nil {
		return err
	}
	a.Sessions++
	if rec.UserID == "" {
		a.Anonymous++
	}
	return nil
}

// archivedSession reads a session as strictly as if it were made now: a restore
// must bring nothing into the state that no command could.
func archivedSession(key, value []byte) (record, error) {
	if len(key) != 1+idLen {
		return record{}, errMalformed
	}
	rec, err := decodeRecord(tailID(key), value)
	if err != nil {
		return record{}, err
	}
	data, err := session.CanonicalObject(rec.Data)
	switch {
	case err != nil:
		return record{}, err
	case rec.ID.IsZero(), !bytes.Equal(data, rec.Data), rec.Version == 0, rec.Rotation.GraceUntil != 0,
		rec.CreatedAt <= 0, rec.LastActiveAt < rec.CreatedAt, rec.IdleTimeout < session.MinIdle, rec.IdleTimeout > session.MaxIdle,
		rec.AbsoluteExpiresAt <= rec.CreatedAt, rec.AbsoluteExpiresAt.Sub(rec.CreatedAt) > session.MaxAbsolute,
		rec.queuedAt > rec.ExpiresAt(), !trimmed(rec.Device.IP, rec.Device.UserAgent), !trimmed(rec.Device.FirstIP, rec.Device.FirstUserAgent):
		return record{}, errMalformed
	}
	return rec, errors.Join(session.ValidUserID(rec.UserID), session.ValidTenantID(rec.TenantID),
		session.ValidLabel(rec.Device.Label), session.ValidAuth(rec.Auth))
}

func trimmed(ip, agent string) bool {
	c := session.Client{IP: ip, UserAgent: agent}
	return c == c.Trimmed()
}

func (a *auditor) account(key, value []byte) error {
	kept, err := decodeAccount(value)
	if err != nil {
		return err
	}
	if len(key) == 1 || kept == (account{}) || (kept.until == 0) != (kept.notBefore == 0) || kept.until < 0 || kept.notBefore < 0 {
		return errMalformed
	}
	if kept.live > 0 {
		a.Users++
		a.lives += kept.live
	}
	if kept.until != 0 {
		a.NotBefores++
	}
	return session.ValidUserID(string(key[1:]))
}

func (a *auditor) event(key, value []byte) error {
	if len(key) != len(eventKey(session.EventID{})) {
		return errMalformed
	}
	a.Events++
	_, err := decodeEvent(parseEventKey(key), value)
	return err
}

func (a *auditor) logout(key, value []byte) error {
	m, err := decodeRemembered(value)
	if err == nil && (len(key) != 1+scopeLen || m.command != cmdLogout || m.at <= 0) {
		err = errMalformed
	}
	a.EndedLogins++
	return err
}

// end holds what was read against what the archive says of itself.
func (a *auditor) end() error {
	switch {
	case a.hash != a.Header.Hash:
		return fmt.Errorf("%w: %w", errArchiveHash, snapshot.ErrDamaged)
	case a.state == nil && a.Pairs == 0 && a.Header.Index == 0:
		return nil // of a node that had not applied anything
	case a.state == nil, a.state.sessions != a.Sessions, a.state.users != a.Users, a.state.events != a.Events,
		a.lives != a.Sessions-a.Anonymous:
		return fmt.Errorf("it does not hold as many sessions, users and events as it says: %w", errContents)
	}
	return nil
}

// Time is the log's clock at the archive's state.
func (c *Contents) Time() time.Time { return session.Time(c.Header.Stamp).Std() }
