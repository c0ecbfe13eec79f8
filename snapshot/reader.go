package snapshot

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Reader reads one archive to its end.
type Reader struct {
	header Header
	body   *withhold
	zstd   *zstd.Decoder
	plain  *bufio.Reader
	pairs  uint64
	err    error // of the end: io.EOF or a fault
	key    []byte
	value  []byte
}

// NewReader reads the header. Errors are ErrForeign, ErrNewer, ErrDamaged, or
// r's own.
func NewReader(r io.Reader) (*Reader, error) {
	sum := sha256.New()
	in := bufio.NewReaderSize(r, 64<<10)
	head := make([]byte, preambleBytes)
	if err := fill(in, head, "preamble"); err != nil {
		return nil, err
	}
	size, err := headerSize(head)
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	head = append(head, make([]byte, size)...)
	if err := fill(in, head[preambleBytes:], "header"); err != nil {
		return nil, err
	}
	sum.Write(head)
	body := &withhold{in: in, sum: sum}
	z, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(windowBytes), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	return &Reader{header: decodeHeader(head[preambleBytes:]), body: body, zstd: z, plain: bufio.NewReaderSize(z, 64<<10)}, nil
}

func fill(in io.Reader, dst []byte, where string) error {
	_, err := io.ReadFull(in, dst)
	if err == nil || (!errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)) {
		return err
	}
	return damage(where, err)
}

// Header returns the header. It is believed only once Next has returned io.EOF.
func (r *Reader) Header() Header { return r.header }

// Checksum is the SHA-256 that ends the archive, nil before Next has returned io.EOF.
func (r *Reader) Checksum() []byte {
	if !errors.Is(r.err, io.EOF) {
		return nil
	}
	return r.body.held
}

// Close lets the decoder's memory go. It does not close the source.
func (r *Reader) Close() { r.zstd.Close() }

// Next returns the next pair, valid until the call after. io.EOF comes only
// when the whole archive has been read and its checksum matched; any other
// error is final.
func (r *Reader) Next() (key, value []byte, err error) {
	if r.err == nil {
		r.err = r.next()
	}
	if r.err != nil {
		return nil, nil, r.err
	}
	return r.key, r.value, nil
}

func (r *Reader) next() error {
	size, err := binary.ReadUvarint(r.plain)
	if err != nil {
		return r.faulty("pair", err)
	}
	if size == 0 {
		return r.end()
	}
	valueSize, err := binary.ReadUvarint(r.plain)
	if err != nil {
		return r.faulty("pair", err)
	}
	if size > MaxKeyBytes || valueSize > MaxValueBytes {
		return fmt.Errorf("archive: a pair of %d and %d bytes: %w", size, valueSize, ErrDamaged)
	}
	r.key, r.value = sized(r.key, size), sized(r.value, valueSize)
	if _, err := io.ReadFull(r.plain, r.key); err != nil {
		return r.faulty("key", err)
	}
	if _, err := io.ReadFull(r.plain, r.value); err != nil {
		return r.faulty("value", err)
	}
	r.pairs++
	return nil
}

// end checks the count, that nothing follows, and the checksum.
func (r *Reader) end() error {
	pairs, err := binary.ReadUvarint(r.plain)
	if err != nil {
		return r.faulty("count", err)
	}
	if pairs != r.pairs {
		return fmt.Errorf("archive: %d pairs, its end says %d: %w", r.pairs, pairs, ErrDamaged)
	}
	if _, err := r.plain.ReadByte(); err == nil {
		return fmt.Errorf("archive: something follows the pairs: %w", ErrDamaged)
	} else if !errors.Is(err, io.EOF) {
		return r.faulty("end", err)
	}
	if !bytes.Equal(r.body.held, r.body.sum.Sum(nil)) {
		return fmt.Errorf("archive: the checksum does not match: %w", ErrDamaged)
	}
	return io.EOF
}

func sized(b []byte, n uint64) []byte {
	if uint64(cap(b)) < n {
		return make([]byte, n)
	}
	return b[:n]
}

// faulty tells an archive that is damaged from a source that failed: what the
// source does not own up to is damage, whatever zstd calls it.
func (r *Reader) faulty(where string, err error) error {
	if r.body.failed != nil {
		return fmt.Errorf("archive: %s: %w", where, r.body.failed)
	}
	return damage(where, err)
}

// damage hides io.EOF: a cut archive must not look like a whole one to errors.Is.
func damage(where string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("archive: %s: %w: it is cut short", where, ErrDamaged)
	}
	return fmt.Errorf("archive: %s: %w: %w", where, ErrDamaged, err)
}

// withhold passes everything on but the last 32 bytes, which it holds: they
// are the checksum of what it has passed.
type withhold struct {
	in     *bufio.Reader
	sum    hash.Hash
	held   []byte
	failed error // the source's own
}

func (w *withhold) Read(p []byte) (int, error) {
	ahead, err := w.in.Peek(min(len(p)+sha256.Size, w.in.Size()))
	if err != nil && !errors.Is(err, io.EOF) {
		w.failed = err
		return 0, err
	}
	n := len(ahead) - sha256.Size
	if n <= 0 {
		w.held = bytes.Clone(ahead)
		return 0, io.EOF
	}
	n = copy(p, ahead[:n])
	w.sum.Write(p[:n])
	_, _ = w.in.Discard(n) // it was peeked at
	return n, nil
}
