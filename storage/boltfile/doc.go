// Package boltfile is what this project asks of a bbolt file beyond what bbolt
// does: whether it is whole, and that it becomes small again.
//
// bbolt's pages carry no checksum. Opened over a page with a flipped bit it
// panics, in a goroutine of its own at times; or it goes on, with fewer pairs
// than there were. Check walks the file by itself, with no trust in it, and
// before bbolt sees it.
//
// What always holds:
//   - Check changes nothing, maps nothing, and follows no number that it has not
//     compared with the size of the file.
//   - Compact leaves the old file or the new one under the name, never neither;
//     the new one has been read back, and holds the same pairs.
//
// The package knows pages, buckets and keys. It knows nothing of what they mean:
// a value without a checksum of its own is not checked by anybody.
package boltfile
