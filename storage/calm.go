package storage

// calmlyDo runs long work, of which nobody waits for the end but its caller,
// with a low priority: an export or an import of a whole state takes a core for
// seconds, which requests would feel.
func calmlyDo(work func() error) error {
	done := make(chan error, 1)
	go func() {
		calmly()
		done <- work()
	}()
	return <-done
}
