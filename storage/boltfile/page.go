package boltfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"os"
)

// The layout of a bbolt file, in the machine's own byte order. It has not
// changed since the first release of bolt.
//
//	page    id 8, flags 2, count 2, overflow 4; then count elements of 16 bytes;
//	        then the bytes of the elements, one behind the other
//	meta    in pages 0 and 1, behind a page's header: magic 4, version 4, page
//	        size 4, flags 4, root 8, sequence 8, freelist 8, pages 8, txid 8,
//	        FNV-1a of all before 8
//	leaf    an element is flags 4, position 4, key size 4, value size 4
//	branch  an element is position 4, key size 4, page 8
//	bucket  the value of an element with flag 1: root 8, sequence 8; where root
//	        is 0, a leaf page follows
const (
	pageHeaderBytes   = 16
	elementBytes      = 16
	metaBytes         = 64
	bucketHeaderBytes = 16

	magic      = 0xED0CDAED
	boltFormat = 2
	branchPage = 0x01
	leafPage   = 0x02
	bucketFlag = 0x01
	firstPage  = 2 // 0 and 1 are meta pages

	noFreelist = math.MaxUint64 // the list is not kept on disk
)

var order = binary.NativeEndian

// meta is a meta page.
type meta struct {
	pageBytes int64
	root      uint64
	freelist  uint64
	pages     int64
	txid      uint64
}

// readMetas returns the newest meta page that is whole, and how many are.
func readMetas(file io.ReaderAt) (newest meta, whole int) {
	// The second lies one page behind the first, whose size only a meta page says.
	for page := range int64(2) {
		m, ok := readMeta(file, page*int64(os.Getpagesize()))
		if !ok {
			continue
		}
		whole++
		if whole == 1 || m.txid > newest.txid {
			newest = m
		}
	}
	return newest, whole
}

func readMeta(file io.ReaderAt, offset int64) (meta, bool) {
	b := make([]byte, metaBytes)
	if _, err := file.ReadAt(b, offset+pageHeaderBytes); err != nil {
		return meta{}, false
	}
	sum := fnv.New64a()
	_, _ = sum.Write(b[:56])
	m := meta{
		pageBytes: int64(order.Uint32(b[8:])), root: order.Uint64(b[16:]), freelist: order.Uint64(b[32:]),
		pages: int64(order.Uint64(b[40:])), txid: order.Uint64(b[48:]),
	}
	ok := order.Uint32(b) == magic && order.Uint32(b[4:]) == boltFormat && order.Uint64(b[56:]) == sum.Sum64() &&
		m.pageBytes == int64(os.Getpagesize()) && m.pages > firstPage
	return m, ok
}

// page is a page and all that it overflows into.
type page struct {
	raw      []byte
	id       uint64
	flags    uint16
	count    int
	overflow uint32
}

func parsePage(raw []byte) (page, error) {
	if len(raw) < pageHeaderBytes {
		return page{}, fmt.Errorf("a page of %d bytes: %w", len(raw), ErrDamaged)
	}
	return page{
		raw: raw, id: order.Uint64(raw), flags: order.Uint16(raw[8:]), count: int(order.Uint16(raw[10:])), overflow: order.Uint32(raw[12:]),
	}, nil
}

// element is a pair, or a child of a branch.
type element struct {
	key, value []byte
	bucket     bool
	page       uint64
}

// leaf gives every pair of a leaf page to each.
func (p page) leaf(in bounds, each func(element) error) error {
	at := pageHeaderBytes + p.count*elementBytes
	var before []byte
	for i := range p.count {
		e, next, err := p.element(i, at)
		if err == nil {
			err = p.inOrder(before, e.key, in)
		}
		if err == nil {
			err = each(e)
		}
		if err != nil {
			return err
		}
		at, before = next, e.key
	}
	return nil
}

// branch returns the children of a branch page.
func (p page) branch(in bounds) ([]element, error) {
	if p.count == 0 {
		return nil, fmt.Errorf("page %d: a branch without a leaf: %w", p.id, ErrDamaged)
	}
	children := make([]element, p.count)
	at := pageHeaderBytes + p.count*elementBytes
	for i := range children {
		var err error
		if children[i], at, err = p.element(i, at); err != nil {
			return nil, err
		}
		var before []byte
		if i > 0 {
			before = children[i-1].key
		}
		if err := p.inOrder(before, children[i].key, in); err != nil {
			return nil, err
		}
	}
	return children, nil
}

// element reads one, whose bytes must begin at at: bbolt leaves no room between
// them, so a changed count, position or size shows.
func (p page) element(i, at int) (e element, next int, err error) {
	damage := func() (element, int, error) {
		return element{}, 0, fmt.Errorf("page %d, element %d of %d: %w", p.id, i, p.count, ErrDamaged)
	}
	head := pageHeaderBytes + i*elementBytes
	if at > len(p.raw) {
		return damage()
	}
	b := p.raw[head : head+elementBytes]
	var position, keySize, valueSize uint32
	if p.flags == leafPage {
		flags := order.Uint32(b)
		if flags > bucketFlag {
			return damage()
		}
		e.bucket = flags == bucketFlag
		position, keySize, valueSize = order.Uint32(b[4:]), order.Uint32(b[8:]), order.Uint32(b[12:])
	} else {
		position, keySize, e.page = order.Uint32(b), order.Uint32(b[4:]), order.Uint64(b[8:])
	}
	left := int64(len(p.raw) - at)
	if int64(head)+int64(position) != int64(at) || keySize == 0 || int64(keySize)+int64(valueSize) > left {
		return damage()
	}
	value := at + int(keySize)
	next = value + int(valueSize)
	e.key, e.value = p.raw[at:value:value], p.raw[value:next:next]
	return e, next, nil
}

// inOrder checks that key lies behind the one before it, and where the branch
// above says.
func (p page) inOrder(before, key []byte, in bounds) error {
	if before != nil && bytes.Compare(before, key) >= 0 || in.from != nil && bytes.Compare(key, in.from) < 0 ||
		in.to != nil && bytes.Compare(key, in.to) >= 0 {
		return fmt.Errorf("page %d: keys that are not in order: %w", p.id, ErrDamaged)
	}
	return nil
}
