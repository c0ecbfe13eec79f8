package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// TestTheClusterWithstandsBadInput is the program's -short form, against a binary of this tree. What it leaves out is
// skipped by name.
func TestTheClusterWithstandsBadInput(t *testing.T) {
	a, err := open(t.Context(), config{short: true, groups: groupNames()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.close(); err != nil {
			t.Error(err)
		}
	})
	a.start(t.Context())
	for _, g := range a.chosen() {
		t.Run(g.name, func(t *testing.T) {
			results := a.run(t.Context(), g)
			if len(results) == 0 {
				t.Error("the group has no row")
			}
			for _, one := range results {
				switch {
				case one.left != "":
					t.Run(one.input, func(t *testing.T) { t.Skip("left out: " + one.left) })
				case one.wrong != "":
					t.Errorf("%s\n    expected %s\n    got      %s\n    wrong    %s", one.input, one.want, one.got, one.wrong)
				}
			}
		})
	}
}

func TestFlagsNameAllFaultsAtOnce(t *testing.T) {
	_, err := parseFlags([]string{"-groups", "http,nothing", "surplus"})
	for _, want := range []string{"nothing", "surplus"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

func TestTheTableTellsRightWrongAndLeftOut(t *testing.T) {
	var out bytes.Buffer
	r := &report{out: &out}
	r.group("one", []result{
		{row: row{input: "good", want: "200"}, verdict: right("200")},
		{row: row{input: "bad", want: "401"}, verdict: verdict{got: "200", wrong: "status 200"}},
		{row: row{input: "slow", want: "401", long: true}, verdict: leftOut("it waits")},
	})
	if err := r.summary(); err == nil || !strings.Contains(err.Error(), "1 rows are wrong") {
		t.Errorf("a wrong row ends with %v", err)
	}
	for _, want := range []string{"✓ good", "✗ bad", "– slow", "LEFT OUT  one: slow (it waits)", "WRONG  one: bad", "1 rows right, 1 wrong, 1 left out"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in:\n%s", want, &out)
		}
	}
}

func TestAGroupWithoutARowIsAFault(t *testing.T) {
	r := &report{out: new(bytes.Buffer)}
	r.group("empty", nil)
	if err := r.summary(); err == nil {
		t.Error("an empty group is taken for a good one")
	}
}

func TestLinesThatBreakALogAreFound(t *testing.T) {
	if fault := logFault([]byte(`{"msg":"a\u2028b\u001b"}`)); fault != "" {
		t.Errorf("a good line: %s", fault)
	}
	for _, line := range []string{
		"", "text", `{"a":1}{"b":2}`, `[1]`, `{"a":1`, "{\"a\":\"\xff\"}", "{\"a\":\"\u2028\"}", "{\"a\":\"\u202e\"}", "{\"a\":\"\u0085\"}", "{\"a\":\"\x1b[31m\"}",
	} {
		if logFault([]byte(line)) == "" {
			t.Errorf("%q is taken for a good line", line)
		}
	}
}

func TestSecretsAreFoundAsTextAndRaw(t *testing.T) {
	s := newSecrets()
	token := strangerToken()
	key := "hfk_" + secretOf(strangerToken())
	hex := strings.Repeat("0123456789abcdef", 4)
	s.add("a token", token)
	s.add("a key", key)
	s.add("hex", hex)
	s.add("a JWT", "eyJh.eyJz."+strings.Repeat("signature", 5))
	h := newHunt(s.list())
	for _, planted := range []string{
		token, secretOf(token), key, "key=" + key[4:], hex, strings.Repeat("\x01\x23\x45\x67\x89\xab\xcd\xef", 4), strings.Repeat("signature", 5),
	} {
		if h.find([]byte("before "+planted+" behind")) == "" {
			t.Errorf("%q is not found", planted)
		}
	}
	if what := h.find(randomBytes(1 << 20)); what != "" {
		t.Errorf("found %s in noise", what)
	}
	if fault := h.selfTest(token); fault.wrong != "" {
		t.Error(fault.wrong)
	}
}

func TestStrangersTokensAreInTheRightForm(t *testing.T) {
	for range 100 {
		token := strangerToken()
		if !tokenPattern.MatchString(token) || len(token) != 84 || token[18] != '7' || !strings.ContainsRune("89ab", rune(token[23])) {
			t.Fatalf("%s, of %d bytes", token, len(token))
		}
	}
}

func TestALateAnswerIsWrong(t *testing.T) {
	if inTime(answer{took: indexLimit + time.Millisecond}) == "" || inTime(answer{took: time.Second}) != "" {
		t.Error("the limit is not kept")
	}
}
