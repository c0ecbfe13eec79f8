package main

import (
	"bytes"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"
)

// What check, doctor and watch read, a real node must show: names of series and fields are nowhere else held together.
func TestCheckAndDoctorSeeARealCluster(t *testing.T) {
	c := newTestCluster(t, 3)
	addrs := []string{c.nodes[0].url, c.nodes[1].url, c.nodes[2].url}
	run := func(args ...string) (int, string) {
		var out bytes.Buffer
		p := &program{environ: []string{"HOLDFAST_KEY=" + c.operator}, stdout: &out, stderr: &out}
		code := p.main(t.Context(), args)
		if strings.Contains(out.String(), c.operator) {
			t.Error("the key is printed")
		}
		return code, out.String()
	}
	// The disk of this machine and its clock are not the test's business.
	lenient := []string{"--warn-disk", "0", "--crit-disk", "0", "--warn-fresh", "1m", "--crit-fresh", "2m"}
	var code int
	var line string
	for deadline := time.Now().Add(patience); ; { // a busy machine may make a member late
		code, line = run(append([]string{"check", "--addr", strings.Join(addrs, ",")}, lenient...)...)
		if code == pluginOK || time.Now().After(deadline) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if code != pluginOK || !pluginForm.MatchString(line) {
		t.Error(code, line)
	}
	for _, label := range []string{" nodes=3;", " down=0;", " tolerance=1;", " lag=", " fresh=", " certificate=", " disk_free="} {
		if !strings.Contains(line, label) {
			t.Errorf("no figure %q in %s", label, line)
		}
	}
	// A new cluster raises its feature level once all members have announced it, and a busy machine makes it lag.
	wanted := []string{
		"ok    nodes         3 answer, and ready", "ok    leader  ", "ok    tolerance     survives the loss of 1 more node", "ok    lag  ",
		"ok    versions  ", "ok    state-hash", "ok    keys-file", "ok    clocks        the members' are at most", "ok    cluster-port",
		"ok    certificate   the first to end, the certificate between nodes of", "ok    cluster-key   all nodes that show theirs hold the same",
	}
	for deadline := time.Now().Add(patience); ; {
		_, out := run("doctor", "--addr", addrs[1])
		missing := slices.DeleteFunc(slices.Clone(wanted), func(line string) bool { return strings.Contains(out, line) })
		if len(missing) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q are not in:\n%s", missing, out)
		}
		time.Sleep(20 * time.Millisecond)
	}
	c.nodes[2].end()
	if code, line := run(append([]string{"check", "--addr", addrs[0]}, lenient...)...); code != pluginWarning || !strings.Contains(line, "n3 does not answer") {
		t.Error(code, line)
	}
	if code, out := run("doctor", "--addr", addrs[0]); code != exitFailed || !strings.Contains(out, "FAIL  member        n3 is down; to do: start it with its data") {
		t.Error(code, out)
	}
}

func TestACertificateHasAnAge(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for _, c := range []struct {
		from, until time.Duration
		level       level
		says        string
	}{
		{-time.Hour, 90 * 24 * time.Hour, fine, "good for web.example, and for 90 days"},
		{-time.Hour, 10 * 24 * time.Hour, doubtful, "ends in 10 days"},
		{-time.Hour, 5 * time.Hour, bad, "ends in 5h"},
		{-48 * time.Hour, -3 * time.Hour, bad, "ended 3h0m0s ago"},
		{time.Hour, 90 * 24 * time.Hour, bad, "is good from"},
	} {
		cert := &x509.Certificate{NotBefore: now.Add(c.from), NotAfter: now.Add(c.until), DNSNames: []string{"web.example"}}
		if f := certificateAge("tls", "web.pem", cert, now); f.level != c.level || !strings.Contains(f.text, c.says) {
			t.Errorf("%s to %s: %+v, want %q", c.from, c.until, f, c.says)
		}
	}
}
