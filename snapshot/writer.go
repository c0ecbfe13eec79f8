package snapshot

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Writer writes one archive. An archive without Close is damaged.
type Writer struct {
	out   io.Writer // the destination
	sum   hash.Hash
	body  *zstd.Encoder
	pairs uint64
	buf   []byte
}

// NewWriter writes the header of an archive to w.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	head, err := h.encode()
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	sum := sha256.New()
	both := io.MultiWriter(w, sum)
	if _, err := both.Write(head); err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	body, err := zstd.NewWriter(both, zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(windowBytes), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	return &Writer{out: w, sum: sum, body: body}, nil
}

// Put appends a pair. Keys are not empty, and within their limits.
func (w *Writer) Put(key, value []byte) error {
	if len(key) == 0 || len(key) > MaxKeyBytes || len(value) > MaxValueBytes {
		return fmt.Errorf("archive: a pair of %d and %d bytes is out of bounds", len(key), len(value))
	}
	w.buf = binary.AppendUvarint(w.buf[:0], uint64(len(key)))
	w.buf = binary.AppendUvarint(w.buf, uint64(len(value)))
	w.buf = append(append(w.buf, key...), value...)
	w.pairs++
	if _, err := w.body.Write(w.buf); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return nil
}

// Close ends the archive with its checksum. It does not close the destination.
func (w *Writer) Close() error {
	_, err := w.body.Write(binary.AppendUvarint([]byte{0}, w.pairs))
	if err = errors.Join(err, w.body.Close()); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	if _, err := w.out.Write(w.sum.Sum(nil)); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return nil
}
