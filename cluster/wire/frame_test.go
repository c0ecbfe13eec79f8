package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

func TestFramesNeverChange(t *testing.T) {
	for _, c := range []struct {
		frame frame
		bytes string
	}{
		{frame{kind: kindRequest, method: 3, id: 0x0102030405060708, deadline: 1500, body: []byte("hi")}, "00000012" + "01" + "03" + "0000" + "0102030405060708" + "000005dc" + "6869"},
		{frame{kind: kindAnswer, id: 1}, "00000010" + "02" + "00" + "0000" + "0000000000000001" + "00000000"},
		{frame{kind: kindFailure, method: 16, id: 2, body: []byte("x")}, "00000011" + "03" + "10" + "0000" + "0000000000000002" + "00000000" + "78"},
		{frame{kind: kindCancel, id: 3}, "00000010" + "04" + "00" + "0000" + "0000000000000003" + "00000000"},
	} {
		raw := append(c.frame.appendHeader(nil), c.frame.body...)
		if got := hex.EncodeToString(raw); got != c.bytes {
			t.Errorf("frame is %s, was %s", got, c.bytes)
		}
		back, err := readFrame(iotest.OneByteReader(bytes.NewReader(raw)), DefaultMaxBody)
		if err != nil || back.kind != c.frame.kind || back.method != c.frame.method || back.id != c.frame.id ||
			back.deadline != c.frame.deadline || !bytes.Equal(back.body, c.frame.body) {
			t.Errorf("read back %+v, %v", back, err)
		}
	}
	if got := hex.EncodeToString(hello{maxBody: 8 << 20}.append(nil)); got != "48465052"+"0001"+"0000"+"00800000" {
		t.Errorf("greeting is %s", got)
	}
}

func TestALengthAloneCostsNoMemory(t *testing.T) {
	head := frame{kind: kindRequest, id: 1, body: make([]byte, 8<<20)}.appendHeader(nil)
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := readFrame(bytes.NewReader(head), 8<<20); !errors.Is(err, io.ErrUnexpectedEOF) {
				b.Fatal(err)
			}
		}
	}).AllocedBytesPerOp()
	if allocated > 2*firstPiece {
		t.Errorf("%d bytes for a frame that never came", allocated)
	}
}

func TestGreetings(t *testing.T) {
	good := hello{maxBody: 77}.append(nil)
	if h, err := readHello(bytes.NewReader(good)); err != nil || h.maxBody != 77 {
		t.Fatalf("%+v, %v", h, err)
	}
	for name, raw := range map[string][]byte{
		"empty": nil, "cut": good[:11], "other magic": []byte("HTTP/1.1 400 "), "newer": append([]byte("HFPR\x00\x02"), make([]byte, 6)...),
	} {
		if _, err := readHello(bytes.NewReader(raw)); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add(append(frame{kind: kindRequest, method: 1, id: 9, deadline: 4, body: []byte("body")}.appendHeader(nil), "body"...))
	f.Add([]byte("\x00\x00\x00\x0f"))
	f.Add(bytes.Repeat([]byte{0xff}, 64))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := bytes.NewReader(raw)
		for {
			before := r.Len()
			got, err := readFrame(r, 1<<20)
			if err != nil {
				break
			}
			if len(got.body) > 1<<20 {
				t.Fatalf("body of %d bytes", len(got.body))
			}
			taken := raw[len(raw)-before : len(raw)-r.Len()]
			if again := append(got.appendHeader(nil), got.body...); !bytes.Equal(again, taken) {
				t.Fatalf("%x was read, it is written as %x", taken, again)
			}
		}
		_, _ = readHello(bytes.NewReader(raw))
	})
}
