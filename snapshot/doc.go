// Package snapshot is the portable archive of a whole state: a stream of
// key-value pairs with a header, compressed, and closed by a checksum.
//
// It knows neither what the pairs mean nor where they come from. Writer and
// Reader hold one pair at a time; an archive of any size passes through bounded
// memory.
//
// All numbers are big-endian:
//
//	"HOLDFAST"                 8 bytes
//	version                    uint16, now 1
//	header length              uint32, at most MaxHeaderBytes
//	header                     cluster, index, term, stamp, configuration index, hash: 8 bytes each;
//	                           kind: 1 byte; the configuration: the rest
//	body                       one zstd frame (RFC 8878) of: key length uvarint (never 0), value length uvarint,
//	                           key, value; …; a zero; the number of pairs, uvarint
//	SHA-256                    32 bytes, over all that stands before
//
// A reader must not act on the pairs before Next has returned io.EOF: only then
// has the checksum been seen to match.
package snapshot
