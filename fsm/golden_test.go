package fsm

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfastdb/holdfast/session"
)

// golden is one value, the bytes that this release writes of it, and how it is
// read.
type golden struct {
	name  string
	key   []byte // in the table; nil for a command and a reply
	value any
	raw   []byte
	read  func([]byte) (any, error)
}

// fixed bytes of any length, each of them told from the others.
func fixed[T ~[16]byte | ~[32]byte](first byte) (b T) {
	for i := range len(b) {
		b[i] = first + byte(i)
	}
	return b
}

func goldenRecord() record {
	return record{Session: session.Session{
		ID: fixed[session.ID](0x10), UserID: "auth0|alice", TenantID: "acme", Data: []byte(`{"cart":[1,2],"plan":"pro"}`), Version: 3,
		CreatedAt: midnight, UpdatedAt: midnight + 1, LastActiveAt: midnight + 2, IdleTimeout: 3_600_000_000_000,
		AbsoluteExpiresAt: midnight + 86_400_000,
		Auth:              session.Auth{Issuer: "https://issuer.example/", Subject: "alice", SID: "s1", Method: "pwd", Time: midnight - 1},
		Device:            session.Device{IP: "192.0.2.2", UserAgent: "new", FirstIP: "192.0.2.1", FirstUserAgent: "old", Label: "phone"},
		SecretHash:        fixed[session.SecretHash](0x20), SecretSetAt: midnight + 3,
	}, queuedAt: midnight + 3_600_000}
}

func goldenOutcome() outcome {
	return outcome{code: codeOK, id: fixed[session.ID](0x10), version: 3, index: 300, count: 1}
}

// goldenValues are one of each kind that the table holds, and a reply.
func goldenValues() []golden {
	rec := goldenRecord()
	at := session.EventID{Index: 300, Ordinal: 2}
	event := session.Event{
		ID: at, Time: midnight, Type: session.EventRevoked, SessionID: rec.ID, UserID: "alice", TenantID: "acme", Version: 3, Reason: reasonEverywhere,
	}
	rotated := rec
	rotated.Rotation = session.Rotation{
		Used:       []session.UsedSecret{{Hash: fixed[session.UsedHash](0x70), Held: 3600}, {Hash: fixed[session.UsedHash](0x80), Held: 30}},
		Former:     fixed[session.SecretHash](0x80),
		GraceUntil: midnight + 30_000, Sealed: []byte("sealed"),
	}
	rotated.StrangeAt = midnight + 4
	a := account{live: 2, notBefore: midnight, until: midnight + 3_600_000}
	state := meta{
		cluster: 0xc1c2c3c4c5c6c7c8, stamp: midnight, sessions: 1, users: 2, created: 3, revoked: 4, expired: 5, events: 6, idempotencies: 7,
		eventFloor: session.EventID{Index: 8, Ordinal: 9},
	}
	risen := state
	risen.raised = 2
	restored := state
	restored.raised, restored.renamed = 2, 0xd1d2d3d4d5d6d7d8
	halfway := restoring{
		id: fixed[restoreID](0xa0), mode: restoreAll, size: 102_400, low: 7, mask: 5, applied: counts{restored: 1, dead: 2, unchanged: 3},
	}
	ended := halfway
	ended.low, ended.mask, ended.done, ended.index = 10, 0, true, 300
	used := remembered{body: fixed[[32]byte](0x40), command: cmdCreate, at: midnight, outcome: goldenOutcome(), hash: fixed[session.SecretHash](0x20)}
	inc := &incarnation{lowest: 7, lastSeen: midnight, outcomes: []numbered{
		{7, goldenOutcome()}, {9, outcome{code: codeVersionConflict, index: 301}}, {300, outcome{index: 302, count: 12}},
	}}
	inc.stored = inc.encode()
	done := reply{outcome: goldenOutcome(), more: true, now: midnight, detail: "a sentence", record: encodeRecord(&rec)}
	return []golden{
		{"record", sessionKey(rec.ID), rec, encodeRecord(&rec), func(b []byte) (any, error) { return decodeRecord(rec.ID, b) }},
		{"record within the grace of a rotation", sessionKey(rec.ID), rotated, encodeRecord(&rotated), func(b []byte) (any, error) { return decodeRecord(rec.ID, b) }},
		{"account", accountKey("alice"), a, encodeAccount(a), func(b []byte) (any, error) { return decodeAccount(b) }},
		{"event", eventKey(at), event, encodeEvent(&event), func(b []byte) (any, error) { return decodeEvent(at, b) }},
		{"meta", metaStateKey, state, encodeMeta(&state), func(b []byte) (any, error) { return decodeMeta(b) }},
		{"meta of a level that was raised", metaStateKey, risen, encodeMeta(&risen), func(b []byte) (any, error) { return decodeMeta(b) }},
		{"meta of a cluster that was restored", metaStateKey, restored, encodeMeta(&restored), func(b []byte) (any, error) { return decodeMeta(b) }},
		{"restore under way", metaRestoreKey, halfway, encodeRestoring(&halfway), func(b []byte) (any, error) { return decodeRestoring(b) }},
		{"restore that is done", metaRestoreKey, ended, encodeRestoring(&ended), func(b []byte) (any, error) { return decodeRestoring(b) }},
		{"incarnation", incarnationKey(0x0102030405060708), inc, inc.stored, func(b []byte) (any, error) { return decodeIncarnation(b) }},
		{"remembered", idempotencyKey(fixed[[32]byte](0x60)), used, encodeRemembered(&used), func(b []byte) (any, error) { return decodeRemembered(b) }},
		{"reply", nil, done, encodeReply(&done), func(b []byte) (any, error) { return decodeReply(b) }},
	}
}

// readCommand reads a command of whose body the type is known.
func readCommand[T any](decode func([]byte) (T, error)) func([]byte) (any, error) {
	return func(raw []byte) (any, error) {
		e, err := decodeEnvelope(raw)
		if err != nil {
			return nil, err
		}
		body, err := decodeBody(&e, decode)
		e.Body = nil
		return spoken{e, body}, err
	}
}

func readBare(raw []byte) (any, error) {
	e, err := decodeEnvelope(raw)
	return spoken{e, nil}, err
}

// spoken is a command as it is read.
type spoken struct {
	Envelope envelope
	Body     any
}

// goldenCommands are one of each type, with every field that there is.
func goldenCommands() []golden {
	label, id := "phone", fixed[session.ID](0x10)
	actor := &wireActor{
		Service: true, SessionID: id, Hash: fixed[session.SecretHash](0x20), IP: "192.0.2.1", UserAgent: "agent",
		Login: &wireLogin{UserID: "alice", IssuedAt: midnight},
	}
	full := func(what commandType) envelope {
		return envelope{
			Type: what, Version: commandVersion, Request: &requestID{Incarnation: 0x0102030405060708, Sequence: 9, Lowest: 7}, ProposedAt: midnight,
			Actor: actor, Idem: &wireIdem{Scope: fixed[[32]byte](0x60), Body: fixed[[32]byte](0x40)},
		}
	}
	bare := func(what commandType) envelope { return envelope{Type: what, Version: commandVersion} }
	ignorable := bare(99)
	ignorable.Ignorable = true
	var all []golden
	add := func(name string, e envelope, body any, read func([]byte) (any, error)) {
		raw, err := encodeCommand(e, body)
		if err != nil {
			panic(err)
		}
		all = append(all, golden{name, nil, spoken{e, body}, raw, read})
	}
	add("tick", bare(cmdTick), nil, readBare)
	add("create", full(cmdCreate), createBody{
		ID: id, Hash: fixed[session.SecretHash](0x20), UserID: "alice", TenantID: "acme", Data: []byte(`{"cart":[1]}`),
		IdleMillis: 3_600_000, AbsMillis: 86_400_000, Issuer: "https://issuer.example/", Subject: "alice", SID: "s1", Method: "pwd",
		AuthTime: midnight - 1, Carry: []string{"cart", "seen"}, Label: label, MaxPerUser: 5, Reject: true,
	}, readCommand(decodeCreate))
	add("patch", full(cmdPatch), patchBody{Target: id, Patch: []byte(`{"a":null}`), IfVersion: 2, Label: &label}, readCommand(decodePatch))
	add("patch of a user", full(cmdPatchUser), patchUserBody{UserID: "alice", Patch: []byte(`{"a":1}`)}, readCommand(decodePatchUser))
	add("refresh", full(cmdRefresh), nil, readBare)
	add("touch", bare(cmdTouch), touchBody{Touches: []wireTouch{
		{ID: id, Active: midnight, IP: "192.0.2.2", UserAgent: "new"}, {ID: fixed[session.ID](0x30), Active: midnight + 1},
	}}, readCommand(decodeTouch))
	add("touch that looks at clients", bare(cmdTouch), touchBody{
		Touches: []wireTouch{{ID: id, Active: midnight, IP: "192.0.2.2", UserAgent: "new"}}, Change: 2, GapMillis: 60_000,
	}, readCommand(decodeTouch))
	add("revoke", full(cmdRevoke), revokeBody{Target: id}, readCommand(decodeRevoke))
	add("revoke of a user", full(cmdRevokeUser), revokeUserBody{UserID: "alice", KeepCurrent: true, KeepMillis: 86_400_000}, readCommand(decodeRevokeUser))
	add("sweep", bare(cmdSweep), sweepBody{Limit: 512, EventMillis: 2_592_000_000, EventCount: 1_000_000, IdempotencyKeys: 100_000}, readCommand(decodeSweep))
	add("rotate", full(cmdRotate), rotateBody{Hash: fixed[session.SecretHash](0x90), Sealed: []byte("sealed")}, readCommand(decodeRotate))
	add("reuse", bare(cmdReuse), reuseBody{ID: id, Hash: fixed[session.SecretHash](0x20)}, readCommand(decodeReuse))
	add("logout", full(cmdLogout), logoutBody{
		Issuer: "https://issuer.example/", SID: "s1", Subject: "alice", UserID: "auth0|alice", KeepMillis: 86_400_000, Token: fixed[[32]byte](0x60),
	}, readCommand(decodeLogout))
	add("level", bare(cmdLevel), levelBody{Level: 2}, readCommand(decodeLevel))
	add("restore begins", full(cmdRestore), restoreBeginBody{ID: fixed[restoreID](0xa0), Mode: 1, Size: 102_400}, readCommand(decodeRestoreBegin))
	add("chunk of a restore", full(cmdRestoring), restoreChunkBody{ID: fixed[restoreID](0xa0), Number: 7, Pairs: [][]byte{{0x10, 1}, {2, 3}}}, readCommand(decodeRestoreChunk))
	add("restore ends", full(cmdRestored), restoreEndBody{ID: fixed[restoreID](0xa0), Chunks: 10, Cluster: 0xd1d2d3d4d5d6d7d8}, readCommand(decodeRestoreEnd))
	add("one that may be ignored", ignorable, nil, readBare)
	return all
}

// The bytes of version 1 are promised to every release to come. If this test
// fails, the change needs another version; -update is for what is new.
func TestWhatIsWrittenIsWhatVersionOneWrote(t *testing.T) {
	for file, all := range map[string][]golden{"values.v1.hex": goldenValues(), "commands.v1.hex": goldenCommands()} {
		var b strings.Builder
		for _, g := range all {
			fmt.Fprintf(&b, "%s\n", g.name)
			if g.key != nil {
				fmt.Fprintf(&b, "  key   %x\n", g.key)
			}
			fmt.Fprintf(&b, "  value %x\n", g.raw)
		}
		kept := keptFile(t, file, b.String())
		if kept != b.String() {
			t.Errorf("%s:\n%s", file, cmp.Diff(kept, b.String()))
		}
		at := 0
		for line := range strings.Lines(kept) {
			text, ok := strings.CutPrefix(strings.TrimSpace(line), "value ")
			if !ok {
				continue
			}
			raw, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			g := all[at]
			at++
			got, err := g.read(raw)
			if err != nil {
				t.Fatalf("%s does not read: %v", g.name, err)
			}
			if diff := cmp.Diff(g.value, got, unexported, cmp.AllowUnexported(envelope{}, spoken{}, requestID{}, wireTouch{})); diff != "" {
				t.Errorf("%s reads as another: %s", g.name, diff)
			}
			if g.key != nil || g.name == "reply" {
				wellSpelt(t, raw)
			}
		}
	}
}

// A whole log of version 1, and the state that it makes for ever.
func TestALogOfVersionOneMakesTheStateThatItMade(t *testing.T) {
	if *update {
		c := chosen(9, 3000)
		var b strings.Builder
		entries := c.history(t, 60)
		hashes := replay(t, entries, func(*member, int) {})
		for i, e := range entries {
			fmt.Fprintf(&b, "entry %d hash %016x\n", int64(e.stamp), hashes[i])
			for _, command := range e.commands {
				fmt.Fprintf(&b, "  %x\n", command)
			}
		}
		keptFile(t, "log.v1.hex", b.String())
	}
	var entries []logEntry
	var want []uint64
	for line := range strings.Lines(keptFile(t, "log.v1.hex", "")) {
		if text, ok := strings.CutPrefix(line, "  "); ok {
			raw, err := hex.DecodeString(strings.TrimSpace(text))
			if err != nil {
				t.Fatal(err)
			}
			last := &entries[len(entries)-1]
			last.commands = append(last.commands, raw)
			continue
		}
		var e logEntry
		var hash uint64
		if _, err := fmt.Sscanf(line, "entry %d hash %x", &e.stamp, &hash); err != nil {
			t.Fatal(err)
		}
		entries, want = append(entries, e), append(want, hash)
	}
	if len(entries) < 50 {
		t.Fatalf("the log has %d entries", len(entries))
	}
	for i, hash := range replay(t, entries, func(*member, int) {}) {
		if hash != want[i] {
			t.Fatalf("entry %d makes the state %016x, and made %016x", i+1, hash, want[i])
		}
	}
}

// keptFile returns a file of testdata, which -update first makes of now; an
// empty now leaves it.
func keptFile(t *testing.T, name, now string) string {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update && now != "" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(now), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(kept)
}
