package session

import "slices"

// MergePatch applies the RFC 7396 merge patch to target. Both are JSON objects
// of at most MaxDataBytes (a session's data is an object, so its patch is one);
// the result is canonical and shares no memory with them. Refusals are those of
// CanonicalObject; ErrPayloadTooLarge also where the result is too large.
func MergePatch(target, patch []byte) ([]byte, error) {
	canonical, err := CanonicalObject(target)
	if err != nil {
		return nil, err
	}
	return patched(canonical, patch)
}

// patched is MergePatch for a target that is canonical already, as a session's
// data always is: to read it once more would be a good part of every patch.
func patched(target, patch []byte) ([]byte, error) {
	p, err := CanonicalObject(patch)
	if err != nil {
		return nil, err
	}
	return bounded(merge(make([]byte, 0, len(target)+len(p)), &cursor{in: target}, &cursor{in: p}))
}

// PatchKeys returns the top-level keys that a patch sets or removes, sorted.
func PatchKeys(patch []byte) ([]string, error) {
	text, err := CanonicalObject(patch)
	if err != nil {
		return nil, err
	}
	keys := []string{}
	c := &cursor{in: text}
	for key := c.key(); key != nil; key = c.key() {
		keys = append(keys, string(unquoted(key)))
		c.value()
	}
	return keys, nil
}

// Pick returns the object that holds those top-level members of data whose
// keys are named, canonical; keys that data lacks are passed over.
func Pick(data []byte, keys []string) ([]byte, error) {
	text, err := CanonicalObject(data)
	if err != nil {
		return nil, err
	}
	out := writer{'{'}
	c := &cursor{in: text}
	for key := c.key(); key != nil; key = c.key() {
		value := c.value()
		if slices.Contains(keys, string(unquoted(key))) {
			out.key(key)
			out = append(out, value...)
		}
	}
	return append(out, '}'), nil
}

// merge is RFC 7396, section 2: it appends target with patch applied, and takes
// both cursors past their values. It goes through the members of both side by
// side, so that each byte is looked at once, however deep it lies.
func merge(dst []byte, target, patch *cursor) []byte {
	if !patch.atObject() {
		target.value()
		return append(dst, patch.value()...)
	}
	if !target.atObject() {
		target.value()
		target = empty()
	}
	out := writer(append(dst, '{'))
	t, p := target.key(), patch.key()
	for t != nil || p != nil {
		order := 1
		switch {
		case p == nil:
			order = -1
		case t != nil:
			order = compareKeys(t, p)
		}
		if order < 0 { // the target's alone
			out.key(t)
			out = append(out, target.value()...)
			t = target.key()
			continue
		}
		old := target
		if order > 0 { // the patch's alone
			old = empty()
		}
		if patch.atNull() {
			old.value()
			patch.value()
		} else {
			out.key(p)
			out = merge(out, old, patch)
		}
		if order == 0 {
			t = target.key()
		}
		p = patch.key()
	}
	return append(out, '}')
}

// empty is an object without members, into which what is new is merged: a new
// object may hold nulls, and they are to go.
func empty() *cursor { return &cursor{in: []byte("{}")} }

// writer is canonical JSON under way.
type writer []byte

// key begins a member of the innermost object.
func (w *writer) key(text []byte) {
	if (*w)[len(*w)-1] != '{' {
		*w = append(*w, ',')
	}
	*w = append(append(*w, text...), ':')
}
