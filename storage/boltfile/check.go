package boltfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrDamaged is returned for a file whose structure is not what bbolt writes.
var ErrDamaged = errors.New("the file is damaged: its pages are not what was written")

// Figures of a file, as its newest transaction left it.
type Figures struct {
	PageBytes int64
	FileBytes int64
	// Pages that the file counts, and those of them that hold something.
	Pages, Used int64
	// WholeMetas is 2, or 1 where one of the two meta pages is damaged: bbolt goes
	// on from the other one, which may be one transaction older.
	WholeMetas int
	Buckets    []string // in their order
}

// FreeBytes is what Compact would win, about.
func (f Figures) FreeBytes() int64 { return (f.Pages - f.Used) * f.PageBytes }

// Check walks the whole file and gives every pair to fn, in the order of the
// file, with the name of its bucket; they are valid during the call alone. fn may
// be nil; its error ends the walk and is returned. The file must not be written
// meanwhile: see InUse. Buckets within buckets are refused.
func Check(path string, fn func(bucket string, key, value []byte) error) (Figures, error) {
	file, err := os.Open(path)
	if err != nil {
		return Figures{}, err
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		return Figures{}, err
	}
	if fn == nil {
		fn = func(string, []byte, []byte) error { return nil }
	}
	newest, whole := readMetas(file)
	if whole == 0 {
		return Figures{}, fmt.Errorf("no meta page is whole: %w", ErrDamaged)
	}
	figures := Figures{PageBytes: newest.pageBytes, FileBytes: stat.Size(), Pages: newest.pages, WholeMetas: whole}
	if newest.pages > stat.Size()/newest.pageBytes {
		return figures, fmt.Errorf("it is cut short, %d bytes of %d pages of %d: %w", stat.Size(), newest.pages, newest.pageBytes, ErrDamaged)
	}
	w := &walker{file: file, meta: newest, seen: make([]uint64, newest.pages/64+1), fn: fn}
	err = w.root()
	figures.Used, figures.Buckets = w.used+firstPage, w.buckets
	if err != nil {
		return figures, err
	}
	if newest.freelist != noFreelist && (newest.freelist < firstPage || newest.freelist >= uint64(newest.pages)) {
		return figures, fmt.Errorf("a list of free pages at page %d: %w", newest.freelist, ErrDamaged)
	}
	return figures, nil
}

// maxDepth is deeper than any tree: each level has at least two pages below it.
const maxDepth = 48

// walker walks one file.
type walker struct {
	file    io.ReaderAt
	meta    meta
	seen    []uint64 // a bit for each page
	used    int64
	buckets []string
	fn      func(bucket string, key, value []byte) error
	// buffers has one for each level of a tree: what a page holds is used until
	// all below it has been walked.
	buffers [maxDepth + 1][]byte
}

func (w *walker) buffer(depth int, size int64) []byte {
	if int64(cap(w.buffers[depth])) < size {
		w.buffers[depth] = make([]byte, size)
	}
	return w.buffers[depth][:size]
}

// root walks the tree of buckets, and the tree of each of them.
func (w *walker) root() error {
	type bucket struct {
		name, header []byte
	}
	var buckets []bucket
	err := w.tree(w.meta.root, bounds{}, 0, func(e element) error {
		if !e.bucket {
			return fmt.Errorf("a pair that is in no bucket: %w", ErrDamaged)
		}
		w.buckets = append(w.buckets, string(e.key))
		buckets = append(buckets, bucket{bytes.Clone(e.key), bytes.Clone(e.value)})
		return nil
	})
	for _, b := range buckets {
		if err != nil {
			break
		}
		err = w.bucket(b.header, func(e element) error {
			if e.bucket {
				return fmt.Errorf("bucket %q: a bucket within: %w", b.name, ErrDamaged)
			}
			return w.fn(string(b.name), e.key, e.value)
		})
	}
	return err
}

// bucket walks one bucket: a tree, or a single page that its header carries.
func (w *walker) bucket(header []byte, each func(element) error) error {
	if len(header) < bucketHeaderBytes {
		return fmt.Errorf("a bucket's header of %d bytes: %w", len(header), ErrDamaged)
	}
	if root := order.Uint64(header); root != 0 {
		if len(header) != bucketHeaderBytes {
			return fmt.Errorf("a bucket's header of %d bytes: %w", len(header), ErrDamaged)
		}
		return w.tree(root, bounds{}, 0, each)
	}
	p, err := parsePage(header[bucketHeaderBytes:])
	if err == nil && (p.id != 0 || p.flags != leafPage || p.overflow != 0) {
		err = fmt.Errorf("page %d of type %#x within a bucket's header: %w", p.id, p.flags, ErrDamaged)
	}
	if err != nil {
		return err
	}
	return p.leaf(bounds{}, each)
}

// bounds of the keys that a page may hold: from to below to; nil is no bound.
type bounds struct{ from, to []byte }

func (w *walker) tree(id uint64, in bounds, depth int, each func(element) error) error {
	p, err := w.page(id, depth)
	if err != nil {
		return err
	}
	if p.flags == leafPage {
		return p.leaf(in, each)
	}
	if depth == maxDepth {
		return fmt.Errorf("page %d: the tree is deeper than %d: %w", id, maxDepth, ErrDamaged)
	}
	children, err := p.branch(in)
	if err != nil {
		return err
	}
	for i, child := range children {
		below := bounds{from: child.key, to: in.to}
		if i+1 < len(children) {
			below.to = children[i+1].key
		}
		if err := w.tree(child.page, below, depth+1, each); err != nil {
			return err
		}
	}
	return nil
}

// page reads a page of a tree with what it overflows into, and marks them: no
// page is in two places.
func (w *walker) page(id uint64, depth int) (page, error) {
	if id < firstPage || id >= uint64(w.meta.pages) {
		return page{}, fmt.Errorf("page %d of %d: %w", id, w.meta.pages, ErrDamaged)
	}
	raw := w.buffer(depth, w.meta.pageBytes)
	if _, err := w.file.ReadAt(raw, int64(id)*w.meta.pageBytes); err != nil {
		return page{}, fmt.Errorf("page %d: %w", id, err)
	}
	p, err := parsePage(raw)
	if err == nil && (p.id != id || p.flags != leafPage && p.flags != branchPage || uint64(p.overflow) >= uint64(w.meta.pages)-id) {
		err = fmt.Errorf("page %d says that it is page %d of type %#x and %d more: %w", id, p.id, p.flags, p.overflow, ErrDamaged)
	}
	if err != nil {
		return page{}, err
	}
	for i := id; i <= id+uint64(p.overflow); i++ {
		if w.seen[i/64]&(1<<(i%64)) != 0 {
			return page{}, fmt.Errorf("page %d is in two places: %w", i, ErrDamaged)
		}
		w.seen[i/64] |= 1 << (i % 64)
		w.used++
	}
	if p.overflow > 0 {
		raw = w.buffer(depth, w.meta.pageBytes*(int64(p.overflow)+1))
		if _, err := w.file.ReadAt(raw, int64(id)*w.meta.pageBytes); err != nil {
			return page{}, fmt.Errorf("page %d: %w", id, err)
		}
		return parsePage(raw)
	}
	return p, nil
}
