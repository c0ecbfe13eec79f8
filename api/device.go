package api

import (
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/mileusna/useragent"
)

// deviceNames gives a user agent the name that a person would recognise in a list of devices, such as "Firefox on
// Linux". Parsing costs far more than a read, and there are few user agents: a small cache answers nearly always.
type deviceNames struct {
	cache *lru.Cache[string, string]
}

// deviceCacheSize bounds the cache; a user agent has at most session.MaxUserAgentBytes.
const deviceCacheSize = 4096

func newDeviceNames() (*deviceNames, error) {
	cache, err := lru.New[string, string](deviceCacheSize)
	if err != nil {
		return nil, err
	}
	return &deviceNames{cache: cache}, nil
}

// name is empty for an empty user agent.
func (d *deviceNames) name(agent string) string {
	if agent == "" {
		return ""
	}
	if name, ok := d.cache.Get(agent); ok {
		return name
	}
	parsed := useragent.Parse(agent)
	name := parsed.Name
	switch {
	case name != "" && parsed.OS != "":
		name += " on " + parsed.OS
	case name == "":
		name = parsed.OS
	}
	d.cache.Add(agent, name)
	return name
}
