package session

import (
	"testing"
	"time"
)

func TestTimeReadsAsRFC3339WithMilliseconds(t *testing.T) {
	for ms, want := range map[Time]string{
		0:                 "1970-01-01T00:00:00.000Z",
		-1:                "1969-12-31T23:59:59.999Z",
		1_700_000_000_007: "2023-11-14T22:13:20.007Z",
		1_709_251_199_120: "2024-02-29T23:59:59.120Z",
	} {
		text, err := ms.MarshalJSON()
		if err != nil || ms.String() != want || string(text) != `"`+want+`"` {
			t.Errorf("%d: %s, %s, %v", ms, ms, text, err)
		}
		if FromStd(ms.Std()) != ms {
			t.Errorf("%d does not come back", ms)
		}
	}
}

func TestTimeCountsInMilliseconds(t *testing.T) {
	if noon.Add(1500*time.Microsecond) != noon+1 || (noon+90_000).Sub(noon) != 90*time.Second {
		t.Error("arithmetic is wrong")
	}
	if !noon.Before(noon+1) || noon.Before(noon) || !noon.After(noon-1) || noon.After(noon) {
		t.Error("order is wrong")
	}
	if noon.Compare(noon+1) != -1 || noon.Compare(noon) != 0 || noon.Compare(noon-1) != 1 {
		t.Error("Compare is wrong")
	}
}

func FuzzTimeReadsAsTheStandardLibraryWritesIt(f *testing.F) {
	f.Add(int64(noon))
	f.Add(int64(-1))
	f.Fuzz(func(t *testing.T, ms int64) {
		if got, want := Time(ms).String(), Time(ms).Std().Format("2006-01-02T15:04:05.000Z"); got != want {
			t.Fatalf("%d reads %s, want %s", ms, got, want)
		}
	})
}

func BenchmarkAppendRFC3339(b *testing.B) {
	dst := make([]byte, 0, 32)
	for b.Loop() {
		dst = noon.AppendRFC3339(dst[:0])
	}
}
