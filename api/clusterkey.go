package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/holdfastdb/holdfast/session"
)

// KeyStep is how far a step of a cluster key rotation has come. Keys are told by name, which says nothing about them.
type KeyStep struct {
	Step    string       `json:"step"` // "install", "use" or "remove"
	Key     string       `json:"key"`  // 16 hex digits: the name of the key that is to be the only one
	Done    []string     `json:"done"`
	Missing []KeyMissing `json:"missing"`
}

// KeyMissing is a member that has not made a step, and why.
type KeyMissing struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// KeyRotation makes the steps of a cluster key rotation on every member, through whichever node leads. key is 64 hex
// digits for an install of a key of the operator's own, else empty. What is refused is session.ErrChangeRefused or
// session.ErrInvalidRequest, and changed nothing; a step that was made before is done.
type KeyRotation interface {
	RotateKey(ctx context.Context, step, key string) (KeyStep, error)
}

// rotateKey answers POST /cluster/key/:step/.
func (s *Server) rotateKey(c *call) error {
	if err := c.operators(); err != nil {
		return err
	}
	step := c.params.ByName("step")
	if step != "install" && step != "use" && step != "remove" {
		return session.ErrNotFound.With("the steps are install, use and remove")
	}
	body, err := c.readBody(false)
	if err != nil {
		return err
	}
	key := ""
	err = members(body, func(name string, value json.RawMessage) error {
		if name != "key" || step != "install" {
			return unknownMember(name)
		}
		return text(name, value, &key)
	})
	if err != nil {
		return err
	}
	made, err := s.cluster.RotateKey(&c.ctx, step, key)
	if err != nil {
		return err
	}
	return c.answerJSON(http.StatusOK, made)
}
