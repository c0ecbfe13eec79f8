package wire

import (
	"context"
	"fmt"
	"testing"
)

// BenchmarkCalls is the cost of a small call over loopback, TLS included.
func BenchmarkCalls(b *testing.B) {
	for _, parallel := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", parallel), func(b *testing.B) {
			key := newKey(b)
			d := &directory{addrs: make(map[string]string)}
			server := newMux(b, "b", d, newAuthority(b, "b", key), nil)
			serve(b, server, func(_ context.Context, _ string, _ uint8, body []byte) ([]byte, error) { return body, nil }, ServerOptions{})
			c := newClient(b, newMux(b, "a", d, newAuthority(b, "a", key), nil), ClientOptions{})
			body := make([]byte, 300)
			b.SetParallelism(parallel)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				ctx, cancel := context.WithTimeout(context.Background(), limit*10)
				defer cancel()
				for pb.Next() {
					if _, err := c.Call(ctx, "b", 1, body); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
