package pki

// goldenDerivations of the key of 32 bytes 0x07: name, gossip key, the
// authority's public key. If one changes, no node of a new release can talk to
// one of an old release.
var goldenDerivations = []string{
	"7f52ebefae1bd2b8",
	"535a9dc65b4b89f473fa1bd545973a75738f277f1216214bb490bf1be7e516bf",
	"0e45b93d6c83a4419a38a3b9aacf4dd3c18d4719ca6600657daf2b7a95c18ae0",
}
