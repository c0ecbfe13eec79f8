package cluster

import (
	"testing"

	"github.com/hashicorp/raft"
)

func BenchmarkLogAppend(b *testing.B) {
	file, err := openLogFile(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	data := make([]byte, 400)
	i := uint64(0)
	for b.Loop() {
		i++
		if err := file.StoreLogs([]*raft.Log{{Index: i, Term: 1, Data: data}}); err != nil {
			b.Fatal(err)
		}
	}
}
